"""Encryption of what Temporal and the store hold of contacts: one key a contact, wrapped by the settings' keys."""
