"""One delivery of a journey's step as an activity: its id, its options, and what its failure means."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.exceptions import TimeoutError as ActivityTimeout

from workflows.view import summary

with workflow.unsafe.imports_passed_through():
    from activities.failures import Failure, Kind, failure_of
    from activities.signatures import SENDS, Delivery, Sent
    from scenario.context import pick
    from scenario.plan import Send

if TYPE_CHECKING:
    from workflows.means import Means

GRACE: Final = timedelta(seconds=3)
"""What an attempt may take beyond its step's `timeout`, for rendering and for telling Temporal."""
_JITTER: Final = 0.2


async def deliver(journey: Means, name: str, step: Send) -> Sent:
    """Schedules a delivery, and waits for its end.

    Raises:
        ActivityError: It failed for good, or was cancelled.
    """
    state = journey.state
    identifier = delivery_id(workflow.info().workflow_id, state.root, name, state.visits.get(name, 0))
    delivery = Delivery(
        id=identifier,
        scenario=journey.version,
        step=name,
        contact=journey.entry.contact_id,
        now=journey.local(journey.began),
        data=pick(journey.data(), step.fields),
        timeout=step.timeout,
        on_unknown=step.on_unknown,
    )
    call = SENDS[step.kind]
    return await workflow.execute_activity(
        call.name,
        delivery,
        result_type=call.result,
        task_queue=call.queue,
        activity_id=name,
        start_to_close_timeout=timedelta(seconds=step.timeout) + GRACE,
        schedule_to_close_timeout=timedelta(seconds=step.retry.deadline),
        retry_policy=retry_policy(step, identifier),
        summary=summary(name, step),
        priority=Priority(fairness_key=_cut(step.to, 64)) if step.to else Priority.default,
    )


def _cut(text: str, limit: int) -> str:
    """The beginning of a text, in so many bytes of UTF-8: the server refuses a longer fairness key."""
    return text.encode()[:limit].decode(errors="ignore")


def delivery_id(workflow_id: str, first_run_id: str, step: str, visit: int) -> str:
    """The id of a delivery: the same over attempts, crashes, operators' retries and continue-as-new."""
    place = "\n".join((workflow_id, first_run_id, step, str(visit)))
    return f"msg_{hashlib.sha256(place.encode()).hexdigest()[:32]}"


def retry_policy(step: Send, identifier: str) -> RetryPolicy:
    """The step's retry policy, its first interval moved by up to 20 % either way.

    Deliveries that fail together would otherwise come back together. The jitter comes from the delivery id, since
    Temporal's policies have none, and is in the policy itself so that operators still can change it in flight.
    """
    share = int(hashlib.sha256(identifier.encode()).hexdigest()[:8], 16) / 0xFFFF_FFFF
    initial = step.retry.initial * (1 - _JITTER + 2 * _JITTER * share)
    return RetryPolicy(
        initial_interval=timedelta(seconds=round(initial, 3)),
        backoff_coefficient=step.retry.coefficient,
        maximum_interval=timedelta(seconds=max(step.retry.maximum, initial)),
        maximum_attempts=step.retry.attempts,
        # A worker that died in mid-attempt may have sent: only `on_unknown: retry` may send again.
        non_retryable_error_types=None if step.on_unknown == "retry" else ["TemporalTimeout:StartToClose"],
    )


def failure_in(error: ActivityError, step: Send) -> Failure:
    """What went wrong with a delivery, as far as Temporal can tell."""
    cause: BaseException | None = error.cause
    while isinstance(cause, ActivityTimeout) and isinstance(cause.cause, ApplicationError):
        cause = cause.cause  # the deadline ran out between two attempts: the last of them says more
    if isinstance(cause, ApplicationError):
        if found := failure_of(cause):
            return found
        reason = f"the worker failed with {cause.type or 'an unknown error'}"
        return Failure(kind=Kind.PERMANENT, reason=reason, destination=step.to or step.kind, attempt=1)
    if isinstance(cause, ActivityTimeout):
        lost = step.on_unknown != "retry"
        return Failure(
            kind=Kind.UNKNOWN if lost else Kind.PERMANENT,
            reason="the worker was lost during an attempt" if lost else "no attempt ended before the deadline",
            destination=step.to or step.kind,
            attempt=1,
            error="timeout",
            unknown=True,
        )
    return Failure(kind=Kind.PERMANENT, reason="the delivery failed", destination=step.to or step.kind, attempt=1)
