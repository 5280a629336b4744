"""Local stand-ins for the systems outside: a Temporal server, a mail server, a receiver of webhooks."""
