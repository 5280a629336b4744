"""A scenario compiled for running, and what its steps are handed."""
