"""A small application in two versions, whose processes write while it is migrated."""
