"""Node types: the contract they keep, the registry, and the built-in ones, a file each."""
