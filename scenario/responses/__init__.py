"""Saved responses: their schemas and validation."""
