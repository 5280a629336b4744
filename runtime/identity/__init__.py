"""The identity of a store: a Temporal namespace belongs to one store, and a copy of that store is refused.

A copy holds the same id, so workers rotate a token, first in the store and then in the namespace. Workers, gateways and
commands compare the two: `identity`. The namespace's side is a workflow that no worker runs: `record`.
"""
