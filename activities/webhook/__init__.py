"""Webhooks: an attempt (`activity`), its request (`http`) and its outcome (`outcome`)."""
