"""Protects receivers: a limiter and circuit breakers in each worker, and rates at Temporal's server."""
