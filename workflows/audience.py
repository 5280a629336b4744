"""The synchronisation of an audience: sends its changes in batches, until none is left or one fails terminally."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError

from activities.background import (
    AUDIENCE_WORKFLOW,
    FREEZE,
    HOLD_AUDIENCE,
    SEND_BATCH,
    AudienceBatch,
    AudienceRef,
    AudienceTrouble,
    read_argument,
)
from activities.priority import priority_of
from scenario.words import MARKETING
from workflows.primitives import call, read_answer

_ATTEMPT: Final = timedelta(minutes=6)  # a destination's timeout is at most five
_DEADLINE: Final = timedelta(days=7)
_RETRY: Final = RetryPolicy(
    initial_interval=timedelta(seconds=5), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=10)
)


@workflow.defn(name=AUDIENCE_WORKFLOW)
class SyncAudience:
    """Sends the changes of one audience that the store has.

    Its history holds neither members nor counts: the store has the changes, and activities freeze, send and settle
    them. A worker starts it whenever there are changes, so that it may end at any time.
    """

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> str:
        """Return ``synced``, or ``held`` if an operator must decide."""
        audience = read_argument(AudienceRef, argument)
        if audience is None:
            raise ApplicationError(
                f"The argument of {AUDIENCE_WORKFLOW} must come from a worker", type="NotAnAudience", non_retryable=True
            )
        where = {"destination": audience.destination, "audience": audience.audience}
        while True:
            frozen = await call(FREEZE, AudienceBatch(**where, batch=workflow.uuid4().hex))
            if not frozen.batch:
                return "synced"
            try:
                answer = await workflow.execute_activity(
                    SEND_BATCH.name,
                    AudienceBatch(**where, batch=frozen.batch),
                    result_type=RawValue,
                    task_queue=frozen.queue,
                    start_to_close_timeout=_ATTEMPT,
                    schedule_to_close_timeout=_DEADLINE,
                    retry_policy=_RETRY,
                    summary=f"{audience.audience} → {audience.destination}",
                    priority=priority_of(MARKETING, audience.destination),
                )
            except ActivityError as error:
                if isinstance(error.cause, CancelledError):
                    raise
                await call(HOLD_AUDIENCE, AudienceTrouble(**where, reason=_why(error)))
                return "held"
            # Members to be sent again must not be sent in a busy loop: the next run does it.
            if not frozen.more or read_answer(SEND_BATCH, answer).again:
                return "synced"
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(audience)


def _why(error: ActivityError) -> str:
    """Return the reason of a terminal failure: that of the last attempt, if there was one."""
    cause: BaseException | None = error.cause
    while cause is not None:
        if isinstance(cause, ApplicationError):
            return cause.message
        cause = cause.__cause__
    return f"it was not sent within {_DEADLINE.days} days"
