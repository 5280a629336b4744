"""Deterministic orchestration: the journey."""
