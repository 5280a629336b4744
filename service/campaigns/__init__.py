"""Campaigns: one scenario for the contacts of a file."""
