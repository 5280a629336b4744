"""The traces of an attempt at Temporal: its failure, which journeys read, and a mark for the next attempt.

A failure is an `ApplicationError`. Its type is a `FailureKind`, its message is for operators in Temporal's UI, and its
first detail is the `Failure`. It contains no secret, payload, address or full URL. Marks are heartbeat details, which
outlive a lost attempt.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from scenario.steps.delivery import CAPPED
from scenario.steps.host import Failed

SENDING: Final = "sending"
"""First value of the mark that an attempt leaves at Temporal before it sends: it may have been delivered."""
SETTLED: Final = "settled"
"""The other first value of a mark: nothing is uncertain."""


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
    """The failure of an attempt."""

    kind: FailureKind  # see `FailureKind`
    reason: str  # one sentence without personal data: ``hooks.example.com answered 503``
    destination: str
    attempt: int  # its number, from 1; of a deferral the number of the last attempt, 0 for none
    status: int | None = None  # reply code (HTTP, SMTP), if any
    error: str | None = None  # the error in one word (``connect_refused``), if there was no reply
    unknown: bool = False  # True if the request may have been carried out
    excerpt: str = ""  # the first 2 KB of the reply, redacted
    exhausted: bool = False  # True if attempts or time ran out: a later try may succeed
    turned_away: bool = False  # True if no attempt was made, because nothing could be sent yet
    unsent: bool = False  # True if the attempt ended before its message could leave, and does not count
    why: str = ""  # why nothing was sent: the beginning of `reason`, which also says what happens next
    next_try_at: str = ""  # time of the next attempt by the current policy, ISO 8601 in UTC; empty if none

    @property
    def sentence(self) -> str:
        """For operators: ``hooks.example.com answered 503 (attempt 3, next try 2026-03-02 08:31:00 UTC)``."""
        attempt = f"attempt {self.attempt}"
        if self.turned_away:
            attempt = f"after {attempt}" if self.attempt else "not attempted yet"
        due = f", next try {self.next_try_at[:19].replace('T', ' ')} UTC" if self.next_try_at else ""
        return f"{self.reason} ({attempt}{due})"

    def as_error(self, next_retry_delay: timedelta | None = None) -> ApplicationError:
        """Return the exception to raise.

        A delay overrides the retry policy's interval and operators' changes of it: only for `Retry-After`, for a
        breaker or a full destination, and after an attempt that sent nothing.
        """
        detail = {
            key: value
            for key, value in asdict(self).items()
            if value is not None and value is not False and value != ""
        }
        is_final = self.kind is not FailureKind.RETRY
        return expected(self.kind.value, self.sentence, detail, final=is_final, delay=next_retry_delay)


def expected(
    kind: str, sentence: str, *details: Any, final: bool = False, delay: timedelta | None = None
) -> ApplicationError:
    """Return a failure that is on record: the worker's log has no stack trace for each."""
    benign = ApplicationErrorCategory.BENIGN
    return ApplicationError(sentence, *details, type=kind, non_retryable=final, next_retry_delay=delay, category=benign)


def failure_of(error: BaseException | None) -> Failure | None:
    """Return the failure in an activity's error, or None."""
    if not isinstance(error, ApplicationError):
        return None
    try:
        return _READER.validate_python({**error.details[0], "kind": FailureKind(error.type)})
    except (ValueError, TypeError, IndexError):  # not one of ours
        return None


_READER = TypeAdapter(Failure)


def without_retry(failure: Failure, on_unknown: str) -> Failure:
    """Return the failure of a last attempt. A message that may have been delivered must not count as failed."""
    if failure.kind is FailureKind.RETRY and failure.unknown and on_unknown != "retry":
        return replace(failure, kind=FailureKind.UNKNOWN)
    return failure


def cause_of(failure: Failure) -> str:
    """Return the word by which held journeys are searched."""
    match failure.kind:
        case FailureKind.RETRY:
            return "exhausted"  # otherwise it would have been retried
        case FailureKind.UNKNOWN:
            return "unknown"
        case FailureKind.UNCONFIGURED:
            return "unconfigured"
        case FailureKind.TEMPLATE:
            return "template"
        case FailureKind.CAPPED:
            return CAPPED
        case _:
            return "exhausted" if failure.exhausted else "permanent"


def failed_by(failure: Failure, destination: str, note: str | None = None) -> Failed:
    """Return the terminal failure of a step, for its host."""
    return Failed(
        reason=failure.reason,
        kind=failure.kind.value,
        cause=cause_of(failure),
        unknown=failure.kind is FailureKind.UNKNOWN,
        destination=destination or failure.destination,
        status=failure.status,
        attempts=failure.attempt,
        excerpt=failure.excerpt,
        note=note,
    )


CONTACT_CHANGED: Final = "contact_changed"
"""The word of a first attempt that sent nothing, since its contact has changed: the journey sends the new data."""
_FULL: Final = 3
"""Minimum number of values in a full mark: the word, the counts' `away`, Temporal's number of the attempt, and the
counts' `unsent` and `asked` unless they are 0."""


class AttemptCounts(NamedTuple):
    """The counts that earlier attempts left."""

    stale: bool = False  # the server keeps an obsolete mark
    away: int = 0  # number of attempts that did not count
    unsent: int = 0  # number of attempts in a row, up to the last one, that ended before their message could leave
    asked: float = 0.0  # when the last one found its journey behind, in seconds since 1970; 0 if it did not


def tally(info: activity.Info) -> AttemptCounts:
    """Return the counts in the mark of the previous attempt."""
    details = list(info.heartbeat_details)
    if len(details) < _FULL:
        return AttemptCounts()
    _, away, number, *more = details
    if info.attempt > number:
        unsent, asked, *_ = (*more, 0, 0) if info.attempt == number + 1 else (0, 0)
        return AttemptCounts(away=int(away), unsent=int(unsent), asked=float(asked))
    return AttemptCounts(stale=True)  # an operator made Temporal count from 1 again: earlier counts mean nothing


def mark(word: str, away: int, attempt: int, unsent: int, asked: float) -> tuple[str | float, ...]:
    """Return the values of a mark, without empty ones at its end."""
    if asked:
        return (word, away, attempt, unsent, asked)
    return (word, *((away, attempt) if away else ()), *((unsent,) if unsent else ()))
