"""The external systems of `destinations.yaml`."""
