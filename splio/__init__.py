"""An optional part for the platform Splio: its old template syntax and its blacklist API."""
