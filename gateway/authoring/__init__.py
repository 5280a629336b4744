"""Checks and previews over HTTP, in processes of their own, because their input may be hostile."""
