"""Errors of handing over a text message.

    ProviderError
    ├── BusyError        temporary: no connection, too many requests, a failing provider. Not sent
    ├── RefusedError     permanent: the provider rejects this message. Not sent
    └── UnansweredError  the request left without an answer: it may have been sent

Messages contain no number, text, token or URL, because they end up in Temporal's history and UI.
"""

from __future__ import annotations

from typing import ClassVar, Final

from activities.outcome import Outcome, Verdict
from scenario.policies.bounces import AddressVerdict

NO_PROVIDER: Final = "SMS is not configured: set SCENARIO_SMS"
OURS: Final = frozenset({401, 404})
"""Statuses of a wrong account or token, which somebody may be fixing."""
_LATER: Final = frozenset({408, 425, 429})
_GATEWAY_TIMEOUT: Final = 504
_SERVER: Final = 500


class ProviderError(Exception):
    """A failed try to hand over a text message.

    Attributes:
        sent: False if it was certainly not sent, None if that is unknown.
        error: The error in one word, or None if the status says it.
        status: The provider's status code, or None.
        excerpt: The beginning of its answer, redacted.
        against: The verdict on the number.
    """

    sent: bool | None = False
    outcome: ClassVar[Outcome] = Outcome.RETRY

    def __init__(
        self,
        reason: str,
        *,
        error: str | None = None,
        status: int | None = None,
        excerpt: str = "",
        against: AddressVerdict | None = None,
    ) -> None:
        self.error = error
        self.against = against
        self.status = status
        self.excerpt = excerpt
        super().__init__(reason)

    @property
    def verdict(self) -> Verdict:
        """Its effect on the delivery."""
        return Verdict(self.outcome, self.error or "", unknown=self.sent is not False, against=self.against)


class BusyError(ProviderError):
    """It was not sent; a retry may help."""


class RefusedError(ProviderError):
    """It was not sent, and a retry would not help."""

    outcome = Outcome.PERMANENT


class UnansweredError(ProviderError):
    """The outcome is unknown."""

    sent = None


def error_of(status: int) -> type[ProviderError]:
    """Return the error for a provider's status. A gateway's timeout concerns its own request."""
    if status == _GATEWAY_TIMEOUT:
        return UnansweredError
    return BusyError if status in OURS or status in _LATER or status >= _SERVER else RefusedError
