"""Scenarios compiled for running, and the data that steps get."""
