"""Test cases: expectations about a scenario, run in virtual time."""
