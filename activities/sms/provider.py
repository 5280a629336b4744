"""A text message, its rendering, and the interface of its providers with their errors.

    ProviderError
    ├── ProviderBusy    temporary: no connection, too many requests, a failing provider. Not sent
    ├── TextRefused     permanent: the provider rejects this message. Not sent
    └── TextUnanswered  the request left without an answer: it may have been sent

Messages of errors contain no number, text, token or URL, because they end up in Temporal's history and UI.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Final, Protocol

from activities.outcome import Outcome, Verdict
from scenario import liquid
from scenario.errors import Aborted, TemplateError
from scenario.policies.suppression import AddressVerdict
from scenario.steps.sms import Sms


def number_in(data: Mapping[str, Any]) -> str:
    """Return the contact's mobile number as written, or raise Aborted."""
    contact: Any = data.get("contact") or {}
    if not (written := str(contact.get("cellphone") or "").strip()):
        raise Aborted("the contact has no mobile number")
    return written


def render(step: Sms, data: dict[str, Any]) -> str:
    """Render the text. Raise TemplateError also if its output is empty, Aborted if a template says so."""
    if not isinstance(step.text, str):
        # Publishing puts the file's content in its place.
        raise TemplateError("the file of the SMS was not published with it: publish the scenario again")
    try:
        body = liquid.render_text(step.text, data).strip()
    except TemplateError as error:
        raise error.within("the SMS's text") from None
    if not body:
        raise TemplateError("the SMS's text: nothing is left of it for this contact; {% abort %} skips a message")
    return body


NO_PROVIDER: Final = "SMS is not configured: set SCENARIO_SMS"
OURS: Final = frozenset({401, 404})
"""Statuses of a wrong account or token, which somebody may be fixing."""
_LATER: Final = frozenset({408, 425, 429})


class ProviderError(Exception):
    """A failed try to hand over a text message."""

    sent: bool | None = False  # False if it was certainly not sent, None if that is unknown
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
        self.error = error  # the error in one word, or None if the status says it
        self.against = against
        self.status = status  # the provider's status code, or None
        self.excerpt = excerpt  # the beginning of its answer, redacted
        super().__init__(reason)

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.outcome, self.error or "", unknown=self.sent is not False, against=self.against)


class ProviderBusy(ProviderError):
    """It was not sent; a retry may help."""


class TextRefused(ProviderError):
    """It was not sent, and a retry would not help."""

    outcome = Outcome.PERMANENT


class TextUnanswered(ProviderError):
    """The outcome is unknown."""

    sent = None


def error_of(status: int) -> type[ProviderError]:
    """Return the error for a provider's status. A gateway's timeout concerns its own request."""
    if status == HTTPStatus.GATEWAY_TIMEOUT:
        return TextUnanswered
    return (
        ProviderBusy
        if status in OURS or status in _LATER or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        else TextRefused
    )


@dataclass(frozen=True, kw_only=True)
class TextMessage:
    """A text message."""

    id: str  # the delivery id, stable over attempts
    to: str  # the number, E.164
    body: str
    within: float = 15.0  # seconds for the provider's answer


@dataclass(frozen=True)
class Receipt:
    """The provider's acceptance."""

    status: int | None = None  # its status code, if any
    reference: str = ""


class SmsProvider(Protocol):
    """Sends text messages. Each provider is one module."""

    name: str  # its name in failures and in the log of attempts
    connections: int  # maximum number of messages in flight. A worker takes only that many; others wait in Temporal.

    async def send(self, message: TextMessage) -> Receipt:
        """Hand over one message, once, or raise ProviderError."""
        ...

    async def close(self, within: float) -> None: ...
