"""Spares receivers: a limiter and a circuit breaker in each worker, and the rates that the server keeps for all."""
