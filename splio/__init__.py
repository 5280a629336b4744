"""An optional part for the platform Splio: its old template syntax and its blacklist API.

The core finds it through the entry points in `pyproject.toml`.
"""
