"""Signed URLs by which a receiver reports an event to one journey."""
