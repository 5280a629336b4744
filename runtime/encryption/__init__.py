"""Encryption of contacts' data in Temporal and the store: one key for each contact, wrapped by the settings' keys."""
