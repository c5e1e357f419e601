"""Where the secrets of workflows are kept, and to whom they are given."""
