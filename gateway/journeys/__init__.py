"""Journeys as people and programs see them."""
