"""What data is: frozen values, without session and without I/O."""
