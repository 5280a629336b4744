"""The scenario file as pydantic models."""
