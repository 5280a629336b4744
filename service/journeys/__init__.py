"""Reads journeys from Temporal, their workflows and the store."""
