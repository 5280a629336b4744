"""What one attempt says about the health of its receiver: the breaker's only input.

Failing is what says that the receiver is down: no connection, no answer in time, 5xx. Whatever else it answers, even
429 or 404, it is alive; what we refuse ourselves says nothing about it. What an attempt without a response says is in
the table of `activities.webhook.errors`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Pulse(StrEnum):
    """How the receiver looked."""

    ALIVE = "alive"
    """It answered, and not that it is broken."""
    FAILING = "failing"
    """It could not be reached, gave no answer, or said that it is broken."""
    NOTHING = "nothing"
    """The attempt never got as far as the receiver."""


_SERVER_ERRORS: Final = 500
_ABOUT_US: Final = frozenset({501, 505, 506})
"""5xx that speak of our request (method, version, negotiation) rather than of the server's state (RFC 9110 §15.6)."""


def of_status(status: int) -> Pulse:
    """What a response's status says; an invalid one of 600 or more counts as 5xx (RFC 9110 §15)."""
    return Pulse.FAILING if status >= _SERVER_ERRORS and status not in _ABOUT_US else Pulse.ALIVE
