"""The scenario file as pydantic models, and what is said of it."""
