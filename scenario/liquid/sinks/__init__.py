"""Where templates write: each escapes what it is given."""
