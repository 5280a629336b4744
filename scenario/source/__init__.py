"""A file's text with the places of everything in it, and what is found wrong there."""
