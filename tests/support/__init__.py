"""What tests stand on: servers, engines, counted statements."""
