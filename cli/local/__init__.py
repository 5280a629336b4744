"""Everything on one machine: `scenario demo` and `scenario dev`."""
