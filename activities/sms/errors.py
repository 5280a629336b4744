"""Why a text message was not taken, as one small tree of exceptions.

    ProviderError
    ├── BusyError        not now: no connection, too many requests, a provider in trouble. It was not sent
    ├── RefusedError     not this message: the provider would say so again. It was not sent
    └── UnansweredError  the request left, and no answer came: it may have been sent

Messages hold no number, text, token or URL: they end up in Temporal's history and in its UI.
"""

from __future__ import annotations


class ProviderError(Exception):
    """One try to hand a text message to a provider that failed.

    Attributes:
        sent: Whether the message may be on its way: False = certainly not, None = nobody knows.
        error: Class of the failure in one word, or None where the status says it.
        status: The provider's status code, or None.
        excerpt: How its answer begins, redacted.
    """

    sent: bool | None = False

    def __init__(self, reason: str, *, error: str | None = None, status: int | None = None, excerpt: str = "") -> None:
        self.error = error
        self.status = status
        self.excerpt = excerpt
        super().__init__(reason)


class BusyError(ProviderError):
    """It was not sent; another attempt may help."""


class RefusedError(ProviderError):
    """It was not sent, and another attempt would not help."""


class UnansweredError(ProviderError):
    """Nobody knows."""

    sent = None
