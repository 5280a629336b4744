"""Local stand-ins: a Temporal server, a mail server and a receiver of webhooks."""
