"""What the executor keeps in a database: `SqlExecutionPersistence`, by the contract in `contract.py`."""
