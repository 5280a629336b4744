"""The systems that webhooks go to, as operations describe them in `destinations.yaml`."""
