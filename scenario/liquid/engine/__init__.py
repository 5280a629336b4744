"""python-liquid, set up for our sinks."""
