"""People per step of a scenario."""
