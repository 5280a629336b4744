"""Primitives of workflow code: waits of limited length, and local activities with their retries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar, cast

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, FailureError
from temporalio.workflow import ActivityCancellationType

from activities.interface import ActivityType, priority_of
from scenario.type_guards import mapping_or_empty

Result = TypeVar("Result")

LOCAL: Final = timedelta(seconds=10)
"""Timeout of one attempt of a local activity."""
PATIENCE: Final = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(minutes=2))
"""Retries without end. An attempt whose pause is a timer at the server takes six events of the history.

The history is limited to some 50,000. With two minutes between attempts, a store may be down for more than a week."""
HASTE: Final = RetryPolicy(initial_interval=timedelta(milliseconds=200))
"""The pauses of a limited number of attempts."""
AGAIN: Final = RetryPolicy(maximum_interval=timedelta(minutes=1))
"""Retries without end of an activity that another process takes up."""
_LONGEST: Final = 500  # characters of operator and reason
TRIES: Final = 3
"""Attempts of a local activity that a journey can do without."""
THRESHOLD: Final = timedelta(seconds=3)
"""Pauses longer than this are timers at the server. While a worker itself waits, it can neither stop nor hand the
journey to another worker, and each few seconds add three events to the journey's history."""


async def wait(ready: Callable[[], bool], limit: timedelta | None, summary: str) -> bool:
    """Wait until a condition holds or the time is over. Resume in the same order on every version of Python.

    `workflow.wait_condition` with a timeout is `asyncio.wait_for`. Python 3.12 rewrote it: the waiting task resumes one
    turn of the event loop earlier than on 3.11, and a journey recorded on one version fails to replay on the other.
    Here a separate task sleeps, and a condition without a timeout watches both.

    Args:
        limit: The time; None is forever.
        summary: Describes the timer in the history. Contains none of the contact's data.

    Returns:
        False if the time is over, even if the condition came to hold in the same workflow task.
    """
    if limit is None:
        await workflow.wait_condition(ready)
        return True
    if limit <= timedelta(0):
        return False
    timer = asyncio.create_task(workflow.sleep(limit, summary=summary))
    try:
        await workflow.wait_condition(lambda: timer.done() or ready())
    finally:
        timer.cancel()
    return not timer.done()


async def call(
    activity: ActivityType[Any, Result], argument: Any, *, about: str | None = None, tries: int | None = None
) -> Result:
    """Run a local activity.

    Args:
        about: Its summary in the history. Contains none of the contact's data.
        tries: Maximum number of attempts, in quick succession; None retries without end.

    Raises:
        FailureError: It was cancelled, or all attempts failed.
    """
    answer = await workflow.execute_local_activity(
        activity.name,
        argument,
        result_type=RawValue,
        start_to_close_timeout=LOCAL,
        retry_policy=PATIENCE if tries is None else replace(HASTE, maximum_attempts=tries),
        local_retry_threshold=THRESHOLD if tries is None else None,
        summary=about,
    )
    return read_answer(activity, answer)


def read_answer(activity: ActivityType[Any, Result], answer: RawValue | None) -> Result:
    """Read the result of an activity, which an older or a newer worker may have written.

    Raise RuntimeError if it cannot be read and has no default. The workflow task is retried until a worker can read it.
    """
    if activity.result is type(None):
        return cast("Result", None)
    try:
        return activity.read(answer)
    except ValueError:
        if activity.instead is None:
            raise RuntimeError(f"This version of the workers cannot read the result of '{activity.name}'") from None
        return activity.instead


def tell_worker(function: str, argument: object) -> None:
    """Call a function of this worker (see `activities.passages`), unless this is a replay. The journey ignores it."""
    functions = cast(
        "Mapping[str, Callable[..., Any]]",
        workflow.extern_functions(),  # pyright: ignore[reportUnknownMemberType]
    )
    if function in functions and not workflow.unsafe.is_replaying():
        functions[function](argument)


def is_cancellation(error: FailureError) -> bool:
    """Return True if a local activity was cancelled. Its failure has no `ActivityError` around it."""
    return isinstance(error, CancelledError) or isinstance(error.cause, CancelledError)


def failure(reason: str, kind: str) -> ApplicationError:
    """Return a failure that is not retried. `kind` is its type."""
    return ApplicationError(reason, type=kind, non_retryable=True)


AN_ENTRY: Final = "be one JSON object with 'scenario', 'contact' and 'trigger'"
"""What the argument of a workflow that takes an entry must be."""


def bad_argument(workflow_type: str, must: str, kind: str) -> ApplicationError:
    """Return the failure of a workflow whose argument is not what it `must` be."""
    return failure(f"The argument of {workflow_type} must {must}", kind)


def refusal(reason: str) -> ApplicationError:
    """Return the failure of an update that changes nothing."""
    return failure(reason, "NotNow")


async def execute_plain(
    name: str, argument: object, span: timedelta, purpose: str, *, heartbeat: timedelta, queue: str | None = None
) -> Any:
    """Run an activity of a gateway or a campaign until it succeeds. Outcomes in flight are recorded if it is cancelled.

    Return its plain result, since building a schema takes too long in a workflow task.
    """
    return await workflow.execute_activity(
        name,
        argument,
        task_queue=queue,
        start_to_close_timeout=span,
        heartbeat_timeout=heartbeat,
        retry_policy=AGAIN,
        priority=priority_of(purpose),  # an eagerly started activity inherits none
        cancellation_type=ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )


def reason_of(error: BaseException, otherwise: str) -> str:
    """Return the reason of a terminal failure: that of the last attempt, if there was one."""
    cause = error.cause if isinstance(error, ActivityError) else None
    while cause is not None:
        if isinstance(cause, ApplicationError):
            return cause.message
        cause = cause.__cause__
    return otherwise


def operator_of(argument: object) -> tuple[str, str]:
    """Return the operator and the reason that an argument names."""
    data = mapping_or_empty(argument)
    operator, reason = (str(data.get(key) or "not said")[:_LONGEST] for key in ("operator", "reason"))
    return operator, reason


async def call_for_update(activity: ActivityType[Any, Result], argument: Any) -> Result:
    """Run a local activity for an update, or refuse the update after a few failed attempts."""
    try:
        return await call(activity, argument, tries=TRIES)
    except FailureError as error:
        raise refusal("this could not be done just now, and nothing has changed: try again") from error
