"""Static analysis of the data that templates read."""
