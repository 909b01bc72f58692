"""The flights that left New York City in 2013: loaded, changed by events, checked."""
