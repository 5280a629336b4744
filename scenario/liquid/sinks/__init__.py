"""Rendering functions by output format."""
