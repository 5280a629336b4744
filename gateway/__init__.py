"""The ways in: command line, HTTP API, pages, Python client."""
