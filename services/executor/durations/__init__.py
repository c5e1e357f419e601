"""How long things take: what node types declare, what history teaches, and what follows for a run."""
