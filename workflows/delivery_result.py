"""The result of a delivery: its activity's, an operator's (`temporal activity complete`), or its failure."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError, RetryState, TimeoutType
from temporalio.exceptions import TimeoutError as ActivityTimeout

from activities.failures import SENDING, Failure, FailureKind, failure_of, without_retry
from activities.interface import ActivityType, Sent, plain
from scenario.entry.entry import is_too_deep
from scenario.source.decoding import size_of
from scenario.steps.delivery import Send
from scenario.steps.host import KEPT_RESPONSES
from workflows.limits import LONGEST_REASON, is_object

BY_HAND: Final = "completed by hand"
_UNREADABLE: Final = "its result cannot be read: whether it was delivered is not known"
_CLI: Final = "CLI"
"""The source of a failure that an operator reports (`temporal activity fail`)."""
_EXHAUSTED: Final = (RetryState.TIMEOUT, RetryState.MAXIMUM_ATTEMPTS_REACHED)
_NO_RESULT: Final = "no attempt ended before the deadline or the last allowed attempt"


def read_sent(activity: ActivityType[Any, Sent], answer: RawValue | None, destination: str) -> Sent | Failure:
    """Read the result of a delivery's activity.

    Our activities report the attempt. An operator reports at least the outcome, as an object or as the bare word
    ``"delivered"``.

    Returns:
        A failure of unknown outcome if the result cannot be read.
    """
    try:
        sent = activity.reader.validate_python(_reported(answer))
    except ValueError:
        return Failure(
            kind=FailureKind.UNKNOWN,
            reason=_UNREADABLE,
            destination=destination,
            attempt=0,
            error="unreadable",
            unknown=True,
        )
    if sent.attempt < 1:
        sent = replace(sent, attempt=0, note=sent.note or BY_HAND)
    if reason := _unsavable(sent.saved):
        sent = replace(sent, saved=None, note=f"the response was not kept: {reason}")
    return replace(sent, reason=_cut(sent.reason), note=_cut(sent.note))


def _reported(answer: RawValue | None) -> dict[str, Any]:
    reported = plain(answer)
    if isinstance(reported, str):
        return {"outcome": reported}
    if not is_object(reported) or not reported.keys() & {"outcome", "attempt"}:
        raise ValueError("it states no outcome")
    return reported


def _unsavable(saved: Any) -> str:
    """Return why a response cannot be carried from run to run, or nothing."""
    if is_too_deep(saved) or size_of(saved) > KEPT_RESPONSES:
        return "it is too large, or nested too deeply"
    try:
        json.dumps(saved, allow_nan=False)
    except ValueError:  # a number such as 1e999 is read as infinity, which JSON cannot represent
        return "it holds a number that is too large"
    return ""


def _cut(text: str | None) -> str | None:
    return text[:LONGEST_REASON] if text else text


def failure_in(error: ActivityError, step: Send) -> Failure:
    """Return the failure of a delivery, as far as Temporal reports it."""
    cause, to = _latest_cause(error), step.to or step.channel
    found = failure_of(cause) if isinstance(cause, ApplicationError) else None
    if isinstance(error.cause, ActivityTimeout) and _may_have_left(error, step):
        return Failure(
            kind=FailureKind.UNKNOWN,
            reason="the worker was lost during an attempt",
            destination=found.destination if found else to,
            attempt=found.attempt + 1 if found else 1,
            error="timeout",
            unknown=True,
        )
    if isinstance(cause, ApplicationError):
        if found and found.kind in (FailureKind.NOT_BEFORE, FailureKind.CAPPED):
            return found
        if found:
            found = without_retry(found, step.on_unknown)
            return _superseded(found, error.retry_state) if cause is not error.cause or found.turned_away else found
        reason = f"the worker failed with {cause.type or 'an unknown error'}"
        if cause.failure is not None and cause.failure.source == _CLI:
            reason = f"failed by hand: {cause.message}"[:LONGEST_REASON]
        exhausted = error.retry_state in _EXHAUSTED
        return Failure(kind=FailureKind.PERMANENT, reason=reason, destination=to, attempt=1, exhausted=exhausted)
    if isinstance(cause, ActivityTimeout):
        never_began = _never_began(cause)
        return Failure(
            kind=FailureKind.PERMANENT,
            reason="no worker began an attempt" if never_began else _NO_RESULT,
            destination=to,
            attempt=0,  # Temporal does not report their number
            error="timeout",
            unknown=step.on_unknown == "retry" and not never_began,
            exhausted=True,
        )
    return Failure(kind=FailureKind.PERMANENT, reason="the delivery failed", destination=to, attempt=1)


def _latest_cause(error: ActivityError) -> BaseException | None:
    """Return the failure of the latest attempt that reported one. A timeout has it as its cause."""
    cause: BaseException | None = error.cause
    while isinstance(cause, ActivityTimeout) and isinstance(cause.cause, ApplicationError):
        cause = cause.cause
    return cause


def _superseded(found: Failure, state: RetryState | None) -> Failure:
    """Return the failure of an attempt after which later ones were made or were due, and reported nothing."""
    if found.turned_away:
        if state is RetryState.MAXIMUM_ATTEMPTS_REACHED:  # Temporal also counts attempts that were turned away
            return replace(found, reason=f"no attempt is left: {found.why}")
        meanwhile = "" if found.error == "deadline" else "the deadline passed meanwhile: "
        return replace(found, reason=f"{meanwhile}{found.why}")
    if not found.next_try_at:
        return found
    return replace(found, reason=f"{found.reason}, and no later attempt came to an end", next_try_at="")


def _may_have_left(error: ActivityError, step: Send) -> bool:
    """Return True if an attempt that timed out may have sent what must not be sent twice.

    Such an attempt leaves a mark before it sends anything.
    """
    if not isinstance(error.cause, ActivityTimeout) or step.on_unknown == "retry":
        return False
    return list(error.cause.last_heartbeat_details[:1]) == [SENDING]


def unsent(error: ActivityError, step: Send, left: float, tried: int = 0, before: float = 0.0) -> Send | None:
    """Return the step to schedule again because its delivery ended before it sent anything, or None.

    The last attempt reported so or was lost with its worker, or no worker began one. Temporal retries such attempts,
    except after the last attempt that the step allows: this attempt does not count.

    Args:
        left: Seconds until the delivery's deadline.
        tried: Number of attempts before it was deferred.
        before: Seconds since the first of them was scheduled.
    """
    cause, is_last = error.cause, error.retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED
    if isinstance(cause, ApplicationError):
        found = failure_of(cause) if is_last else None
        is_uncounted = found and found.kind is FailureKind.RETRY and found.unsent and not found.unknown
        return _bounded(step, attempts=tried + 1) if is_uncounted else None
    if _never_began(cause):
        return _bounded(step, deadline=left + before) if left > 0 else None
    if not isinstance(cause, ActivityTimeout) or cause.type is not TimeoutType.START_TO_CLOSE:
        return None
    if step.on_unknown == "retry" or _may_have_left(error, step):
        return None
    return _bounded(step, attempts=tried + 1) if is_last else step


def _never_began(cause: BaseException | None) -> bool:
    """Return True if a delivery timed out without an attempt."""
    return (
        isinstance(cause, ActivityTimeout)
        and cause.type is TimeoutType.SCHEDULE_TO_START
        and cause.__cause__ is None  # otherwise the failure of an earlier attempt
    )


def _bounded(step: Send, **bounds: float) -> Send:
    """Return the step with other bounds of its retry policy, which a destination does not change."""
    return replace(step, retry=step.retry.changed_by(bounds), own_settings=(*step.own_settings, *bounds))
