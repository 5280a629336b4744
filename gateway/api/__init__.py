"""The HTTP API for engines without a Temporal SDK."""
