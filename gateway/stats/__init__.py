"""Counts of journeys per step of a scenario."""
