"""python-liquid, configured and bounded."""
