"""Webhooks: one attempt (`transport`) and its outcome (`outcome`)."""
