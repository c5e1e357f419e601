"""What this machine does without an engine: processes that do nothing but pass on."""
