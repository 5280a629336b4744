"""URLs, addresses and headers of webhooks: what they may be."""
