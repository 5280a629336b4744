"""How a delivery's failure is told to Temporal, and read back by the journey.

A failure is an `ApplicationError` whose type is one of the words below, whose message an operator understands in
Temporal's UI, and whose first detail is the `Failure` itself. None of them holds a secret, a payload, an address or
a full URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, cast

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory


class Kind(StrEnum):
    """What kind of failure it is; the value is the `ApplicationError`'s type.

    RETRY is the only one that Temporal tries again.
    """

    RETRY = "DeliveryRetry"
    PERMANENT = "DeliveryPermanent"
    UNKNOWN = "DeliveryUnknown"
    UNCONFIGURED = "ChannelNotConfigured"
    TEMPLATE = "TemplateFailed"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One attempt's failure.

    Attributes:
        kind: See `Kind`.
        reason: One sentence without personal data: ``hooks.example.com answered 503``.
        destination: Host or channel that was sent to.
        attempt: Counted from 1.
        status: Reply code (HTTP, SMTP), if there was a reply.
        error: Class of the error in one word (``connect_refused``), if there was no reply.
        unknown: Whether the request may have been acted upon all the same.
        excerpt: The first 2 KB of the reply, redacted.
        exhausted: Whether it is for good only because attempts or time have run out: a later try may well succeed.
    """

    kind: Kind
    reason: str
    destination: str
    attempt: int
    status: int | None = None
    error: str | None = None
    unknown: bool = False
    excerpt: str = ""
    exhausted: bool = False

    def as_error(self, next_retry_delay: timedelta | None = None) -> ApplicationError:
        """The exception to raise.

        Args:
            next_retry_delay: Overrides the retry policy's interval: for ``Retry-After`` only, since it also overrides
                what an operator changes.
        """
        detail = {key: value for key, value in asdict(self).items() if value not in (None, "", False)}
        return ApplicationError(
            f"{self.reason} (attempt {self.attempt})",
            detail,
            type=self.kind.value,
            non_retryable=self.kind is not Kind.RETRY,
            next_retry_delay=next_retry_delay,
            # Expected and on record: no stack trace in the worker's log for each.
            category=ApplicationErrorCategory.BENIGN,
        )


def failure_of(error: ApplicationError) -> Failure | None:
    """The failure that an activity's error carries, or None where the error is not one of ours."""
    if error.type not in {kind.value for kind in Kind} or not error.details:
        return None
    detail: Any = error.details[0]
    if not isinstance(detail, Mapping):
        return None
    known: dict[str, Any] = {key: value for key, value in cast("Mapping[str, Any]", detail).items() if key in _FIELDS}
    known["kind"] = Kind(error.type)
    try:
        return Failure(**known)
    except TypeError:
        return None


_FIELDS = frozenset(Failure.__dataclass_fields__)
