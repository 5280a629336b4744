"""The codec server: lets Temporal's UI and command line show what is encrypted."""
