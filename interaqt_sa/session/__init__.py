"""State of sessions and transactions, retry, and constraint violations."""
