"""Why a text message was not taken, as one small tree of exceptions.

    ProviderError
    ├── BusyError        not now: no connection, too many requests, a provider in trouble. It was not sent
    ├── RefusedError     not this message: the provider would say so again. It was not sent
    └── UnansweredError  the request left, and no answer came: it may have been sent

Messages hold no number, text, token or URL: they end up in Temporal's history and in its UI.
"""

from __future__ import annotations

from typing import ClassVar, Final

from activities.outcome import Outcome, Verdict
from scenario.policies.bounces import AddressVerdict

NO_PROVIDER: Final = "SMS is not configured: set SCENARIO_SMS"
OURS: Final = frozenset({401, 404})
"""Account or token are wrong: nothing about this message, and somebody may be fixing it."""
_LATER: Final = frozenset({408, 425, 429})
_GATEWAY_TIMEOUT: Final = 504
_SERVER: Final = 500


class ProviderError(Exception):
    """One try to hand a text message to a provider that failed.

    Attributes:
        sent: True if the message may be on its way: False = certainly not, None = nobody knows.
        error: Class of the failure in one word, or None if the status says it.
        status: The provider's status code, or None.
        excerpt: How its answer begins, redacted.
        against: What it says against the number.
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
        """What becomes of the delivery."""
        return Verdict(self.outcome, self.error or "", unknown=self.sent is not False, against=self.against)


class BusyError(ProviderError):
    """It was not sent; another attempt may help."""


class RefusedError(ProviderError):
    """It was not sent, and another attempt would not help."""

    outcome = Outcome.PERMANENT


class UnansweredError(ProviderError):
    """Nobody knows."""

    sent = None


def error_of(status: int) -> type[ProviderError]:
    """What a provider's status means that is not a success. A gateway's time-out is of its own request."""
    if status == _GATEWAY_TIMEOUT:
        return UnansweredError
    return BusyError if status in OURS or status in _LATER or status >= _SERVER else RefusedError
