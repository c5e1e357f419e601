"""The database: the one place where executions are true. Only the executor opens it."""
