"""What the engine costs, beside code written by hand that stores the same values."""
