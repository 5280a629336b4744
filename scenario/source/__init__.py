"""A file's text with the places of everything in it, and findings about it."""
