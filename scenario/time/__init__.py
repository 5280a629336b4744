"""Durations and local times."""
