"""Who may do what: callers, roles, tokens, and the record of what they did."""
