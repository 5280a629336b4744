"""Entries, and the platform's data in clean shapes."""
