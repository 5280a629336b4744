"""The sentence for a journey of which it is not known whether it was admitted."""

from __future__ import annotations

UNADMITTED = "no worker has looked at it yet: check that one is running ('scenario dev', or worker.py)"


def unadmitted(trouble: str | None) -> str:
    """Why it is not known whether a journey came in: the store is in trouble, or no worker runs."""
    if trouble is None:
        return UNADMITTED
    return "it waits to be admitted: " + trouble[:1].lower() + trouble[1:].removesuffix(".")
