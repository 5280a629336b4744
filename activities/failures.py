"""A delivery's failure: how it is reported to Temporal, and read by the journey.

A failure is an `ApplicationError` whose type is one of the words below, whose message an operator understands in
Temporal's UI, and whose first detail is the `Failure` itself. None of them holds a secret, a payload, an address or
a full URL.
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
"""First value of the mark that an attempt leaves at Temporal before its message leaves: it may have arrived since."""


class FailureKind(StrEnum):
    """What kind of failure it is; the value is the `ApplicationError`'s type.

    RETRY is the only one that Temporal tries again. NOT_BEFORE is not a failure at all: the journey waits until
    `Failure.next_try_at`, by a timer, and schedules the delivery once more under the same id. CAPPED is one that a cap
    keeps back until a person decides.
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
        destination: Host or channel that was sent to.
        attempt: Its number, counted from 1; where it was turned away, that of the last one made, 0 for none.
        status: Reply code (HTTP, SMTP), if there was a reply.
        error: Class of the error in one word (``connect_refused``), if there was no reply.
        unknown: True if the request may have been acted upon all the same.
        excerpt: The first 2 KB of the reply, redacted.
        exhausted: True if it is for good only because attempts or time have run out: a later try may well succeed.
        turned_away: True if no attempt was made, since nothing could be sent yet.
        unsent: True if the attempt came to nothing before its message could leave, and does not count.
        why: Why it was none, which is how `reason` begins; it ends in what happens next.
        next_try_at: When the next attempt was due as the policy was then, ISO 8601 in UTC. Empty where none was.
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
        """What an operator reads: ``hooks.example.com answered 503 (attempt 3, next try 2026-03-02 08:31:00 UTC)``."""
        attempt = f"attempt {self.attempt}"
        if self.turned_away:
            attempt = f"after {attempt}" if self.attempt else "not attempted yet"
        due = f", next try {self.next_try_at[:19].replace('T', ' ')} UTC" if self.next_try_at else ""
        return f"{self.reason} ({attempt}{due})"

    def as_error(self, next_retry_delay: timedelta | None = None) -> ApplicationError:
        """Return the exception to raise.

        Args:
            next_retry_delay: Overrides the retry policy's interval, and what an operator changes of it: only where the
                receiver, or the gate in front of it, says when to come again.
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
    """Return the failure that an activity's error carries, or None if the error is not one of ours."""
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
