"""The definition of a workflow: model, validation, graph. Knows nothing of running."""
