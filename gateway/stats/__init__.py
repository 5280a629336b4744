"""How many people are where in a scenario, and how many passed."""
