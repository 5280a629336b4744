"""What a response means for its delivery. What its absence means is the table of `activities.webhook.errors`.

Sources: RFC 9110 §15 (statuses; an invalid one ≥ 600 counts as 5xx; 413 with Retry-After is temporary), RFC 8470 (425),
RFC 6585 (428, 429, 431), Standard Webhooks and CloudEvents webhooks (2xx delivered, 3xx never followed, 410 stop).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Final


class Outcome(StrEnum):
    """What becomes of the delivery."""

    DELIVERED = "delivered"
    """The receiver has it, whatever became of the response's body."""
    RETRY = "retry"
    """Try again until the deadline: the receiver or the network has a bad time."""
    RETRY_SHORT = "retry_short"
    """Try again for a short while (one hour by default): someone may be fixing a configuration."""
    PERMANENT = "permanent"
    """The same bytes would be refused again."""
    REFUSED = "refused"
    """We refuse to send to that place; nothing left this machine."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome and why.

    Attributes:
        outcome: What becomes of the delivery.
        reason: One word for logs, metrics and the record of attempts: ``http_503``, ``gone``, ``connect_refused``.
        unknown: The request left and no answer came, so the receiver may have acted on it. It is tried again under
            the same delivery id, unless the step's ``on_unknown`` says otherwise.
    """

    outcome: Outcome
    reason: str
    unknown: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the receiver has it."""
        return self.outcome is Outcome.DELIVERED

    @property
    def final(self) -> bool:
        """Whether no further attempt can help, short of somebody changing something."""
        return self.outcome in (Outcome.PERMANENT, Outcome.REFUSED)


# 401 and its like usually mean a key, a route or a deployment in the making; retrying for days would only hide it.
_SHORT: Final = frozenset({401, 403, 404, 405, 407, 421, 423, 424, 426, 428})
_RETRIED: Final = frozenset({408, 409, 425, 429})
_UNSUPPORTED: Final = frozenset({501, 505, 506})
_CLIENT, _SERVER, _INVALID = 400, 500, 600


CERTIFICATE: Final = "client_certificate"
"""The reason of a 400 that is about our client certificate."""


def of_status(status: int, *, retry_after: bool = False, certificate: bool = False) -> Verdict:
    """The verdict on a response.

    Args:
        status: The status of the final response. A final 1xx (101 Switching Protocols) is a protocol error: retried.
        retry_after: Whether it carries a usable ``Retry-After``, which makes 413 temporary (RFC 9110 §15.5.14).
        certificate: Whether it speaks of our client certificate: with 400 that is a configuration at fault, as 401 is.
    """
    reason = f"http_{status}"
    if status < HTTPStatus.OK:
        return Verdict(Outcome.RETRY, reason)
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return Verdict(Outcome.DELIVERED, reason)
    if status < _CLIENT:
        return Verdict(Outcome.PERMANENT, "redirect_not_followed")
    if status == HTTPStatus.GONE:
        return Verdict(Outcome.PERMANENT, "gone")
    if status in _RETRIED or (status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and retry_after):
        return Verdict(Outcome.RETRY, reason)
    if status == HTTPStatus.BAD_REQUEST and certificate:
        return Verdict(Outcome.RETRY_SHORT, CERTIFICATE)
    if status in _SHORT:
        return Verdict(Outcome.RETRY_SHORT, reason)
    if status < _SERVER or status in _UNSUPPORTED:
        return Verdict(Outcome.PERMANENT, reason)
    return Verdict(Outcome.RETRY, reason)
