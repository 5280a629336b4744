"""Everything that touches the outside world; a package per channel."""
