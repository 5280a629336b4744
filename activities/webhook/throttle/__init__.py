"""How gently a destination is treated: rates, a circuit breaker, and what the server keeps for all workers."""
