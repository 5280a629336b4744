"""Previews: the exact bytes that a scenario would send to a contact, without a server, a store or a secret."""
