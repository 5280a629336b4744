"""The codec server, which decrypts payloads for Temporal's UI and command line."""
