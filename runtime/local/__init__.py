"""What stands in, on one machine, for the systems outside: a Temporal server, a mail server, a receiver."""
