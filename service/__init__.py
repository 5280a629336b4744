"""Use cases and their results, for the HTTP API, the command line and the pages alike."""
