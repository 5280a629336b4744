"""Durations, and when waits end."""
