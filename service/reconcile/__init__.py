"""Comparison of the store with Temporal after either was put back from a backup, and its repair."""
