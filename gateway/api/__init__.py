"""The HTTP API: how an engine without a Temporal SDK lets contacts in, tells events, looks and operates."""
