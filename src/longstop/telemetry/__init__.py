"""What the program says of itself: logs and metrics."""
