"""Sessions: what a transaction carries, how it is retried, what database errors mean."""
