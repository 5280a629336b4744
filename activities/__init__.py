"""Everything that touches the outside world, with one package per channel."""
