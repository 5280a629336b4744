"""The message about a journey whose admission is not yet known."""

from __future__ import annotations

UNADMITTED = "no worker has looked at it yet: check that one is running ('scenario dev', or worker.py)"


def unadmitted(trouble: str | None) -> str:
    """Return why it is not known whether a journey was admitted: the store fails, or no worker runs."""
    if trouble is None:
        return UNADMITTED
    return "it waits to be admitted: " + trouble[:1].lower() + trouble[1:].removesuffix(".")
