"""What one attempt says about the health of its receiver: the breaker's only input.

Failing is what says that the receiver is down: no connection, no answer in time, 5xx. Whatever else it answers, even
429 or 404, it is alive; what we refuse ourselves says nothing about it.
"""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus
from typing import Final


class Pulse(StrEnum):
    """How the receiver looked."""

    DELIVERED = "delivered"
    """It took the message."""
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
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Pulse.DELIVERED
    return Pulse.FAILING if status >= _SERVER_ERRORS and status not in _ABOUT_US else Pulse.ALIVE


_ERRORS: Final[dict[str, Pulse]] = {
    # Ours.
    "refused_address": Pulse.NOTHING,
    "refused_url": Pulse.NOTHING,
    "request_header_illegal": Pulse.NOTHING,
    "rendered_body_not_json": Pulse.NOTHING,
    "rendered_body_over_limit": Pulse.NOTHING,
    "pool_timeout": Pulse.NOTHING,
    "tls_files_unusable": Pulse.NOTHING,
    "worker_killed_after_send": Pulse.NOTHING,
    # No connection.
    "dns_nxdomain": Pulse.FAILING,
    "dns_timeout": Pulse.FAILING,
    "dns_failed": Pulse.FAILING,
    "connect_refused": Pulse.FAILING,
    "connect_timeout": Pulse.FAILING,
    "connect_reset": Pulse.FAILING,
    "connect_unreachable": Pulse.FAILING,
    "connect_failed": Pulse.FAILING,
    "tls_handshake_timeout": Pulse.FAILING,
    "tls_verify_failed": Pulse.FAILING,
    "tls_failed": Pulse.FAILING,
    "tls_rejected": Pulse.FAILING,
    # No answer.
    "reset_before_response": Pulse.FAILING,
    "disconnect_without_response": Pulse.FAILING,
    "read_timeout": Pulse.FAILING,
    # An answer, if a strange one.
    "malformed_response": Pulse.ALIVE,
    "response_header_too_large": Pulse.ALIVE,
}


def of_error(word: str) -> Pulse:
    """What an attempt without a response says.

    Args:
        word: The `AttemptError.word`, or one of a failure before the sending.

    Raises:
        KeyError: A word that the table does not know; a test compares it with `outcome`'s.
    """
    return _ERRORS[word]
