"""Webhooks: sending one attempt safely (`transport`), and what its outcome means (`outcome`)."""
