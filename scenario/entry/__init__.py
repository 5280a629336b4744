"""A contact asking to come in, and a platform's data in one clean shape."""
