"""A delivery's failure: how activities report it to Temporal, and journeys read it.

A failure is an `ApplicationError`. Its type is one of the words below, its message is for operators in Temporal's UI,
and its first detail is the `Failure`. It contains no secret, payload, address or full URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, cast

from pydantic import TypeAdapter
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

SENDING: Final = "sending"
"""First value of the mark that an attempt leaves at Temporal before it sends: it may have been delivered."""


class FailureKind(StrEnum):
    """The kind of a failure; its value is the type of the `ApplicationError`.

    Temporal retries RETRY only. NOT_BEFORE is no failure: the journey waits until `Failure.next_try_at` and schedules
    the delivery again under the same id. CAPPED waits for an operator.
    """

    RETRY = "DeliveryRetry"
    PERMANENT = "DeliveryPermanent"
    UNKNOWN = "DeliveryUnknown"
    UNCONFIGURED = "ChannelNotConfigured"
    TEMPLATE = "TemplateFailed"
    NOT_BEFORE = "DeliveryNotBefore"
    CAPPED = "DeliveryCapped"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One attempt's failure.

    Attributes:
        kind: See `FailureKind`.
        reason: One sentence without personal data: ``hooks.example.com answered 503``.
        destination: Host or channel.
        attempt: Its number, from 1; of a deferral the number of the last attempt, 0 for none.
        status: Reply code (HTTP, SMTP), if any.
        error: The error in one word (``connect_refused``), if there was no reply.
        unknown: True if the request may have been carried out.
        excerpt: The first 2 KB of the reply, redacted.
        exhausted: True if attempts or time ran out: a later try may succeed.
        turned_away: True if no attempt was made, because nothing could be sent yet.
        unsent: True if the attempt ended before its message could leave, and does not count.
        why: Why nothing was sent: the beginning of `reason`, which also says what happens next.
        next_try_at: Time of the next attempt by the policy at that time, ISO 8601 in UTC; empty if there is none.
    """

    kind: FailureKind
    reason: str
    destination: str
    attempt: int
    status: int | None = None
    error: str | None = None
    unknown: bool = False
    excerpt: str = ""
    exhausted: bool = False
    turned_away: bool = False
    unsent: bool = False
    why: str = ""
    next_try_at: str = ""

    @property
    def sentence(self) -> str:
        """The sentence for operators.

        For example ``hooks.example.com answered 503 (attempt 3, next try 2026-03-02 08:31:00 UTC)``.
        """
        attempt = f"attempt {self.attempt}"
        if self.turned_away:
            attempt = f"after {attempt}" if self.attempt else "not attempted yet"
        due = f", next try {self.next_try_at[:19].replace('T', ' ')} UTC" if self.next_try_at else ""
        return f"{self.reason} ({attempt}{due})"

    def as_error(self, next_retry_delay: timedelta | None = None) -> ApplicationError:
        """Return the exception to raise.

        Args:
            next_retry_delay: Overrides the retry policy's interval and operators' changes of it: only for `Retry-After`
                and for the gate.
        """
        detail = {
            key: value
            for key, value in asdict(self).items()
            if value is not None and value is not False and value != ""
        }
        return ApplicationError(
            self.sentence,
            detail,
            type=self.kind.value,
            non_retryable=self.kind is not FailureKind.RETRY,
            next_retry_delay=next_retry_delay,
            # Expected and on record: no stack trace in the worker's log for each.
            category=ApplicationErrorCategory.BENIGN,
        )


def failure_of(error: ApplicationError) -> Failure | None:
    """Return the failure in an activity's error, or None."""
    if error.type not in {kind.value for kind in FailureKind} or not error.details:
        return None
    detail: Any = error.details[0]
    if not isinstance(detail, Mapping):
        return None
    known: dict[str, Any] = {key: value for key, value in cast("Mapping[str, Any]", detail).items() if key in _FIELDS}
    known["kind"] = FailureKind(error.type)
    try:
        return _READER.validate_python(known)
    except ValueError:
        return None


_FIELDS = frozenset(Failure.__dataclass_fields__)
_READER = TypeAdapter(Failure)
