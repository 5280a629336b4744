"""How far an attempt has come: what turns "it took too long" into "DNS", "TLS" or "no answer".

The client library calls back from several depths (resolver, socket, TLS, connection pool) without saying on whose
behalf. A context variable does: asyncio hands each task and callback the context of the attempt it works for.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from enum import IntEnum

from activities.webhook.http.target import Target


class Phase(IntEnum):
    """Where an attempt is, in order. From `SENDING` on, the receiver may have seen it."""

    QUEUED = 0
    RESOLVING = 1
    CONNECTING = 2
    HANDSHAKE = 3
    SENDING = 4


@dataclass(slots=True)
class Flight:
    """One attempt under way.

    Attributes:
        target: Where it goes.
        phase: How far it has come.
        denied: An address was refused when it was about to be dialled.
    """

    target: Target
    phase: Phase = Phase.QUEUED
    denied: bool = False


CURRENT: ContextVar[Flight] = ContextVar("attempt")
"""The attempt that the running task or callback works for."""


def reached(phase: Phase) -> None:
    """Notes that the current attempt has come this far; never backwards."""
    flight = CURRENT.get(None)
    if flight is not None:
        flight.phase = max(flight.phase, phase)
