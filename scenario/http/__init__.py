"""URLs, addresses and headers that webhooks may use."""
