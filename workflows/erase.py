"""Erases a contact, in passes, until Temporal and the store hold nothing of it.

Its history holds only the erasure's id and counts. Until the erasure is finished, the store maps the id to the
contact. An erasure never fails: a failed activity is retried, with pauses of up to a minute, and recorded as its
trouble.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ApplicationError

from activities.call import ActivityType
from activities.erasure import CLEAR_ROWS, DELETE_HISTORIES, END_JOURNEYS, WORKFLOW, Erasing, erasing_in
from activities.priority import OPERATORS, priority_of
from workflows.primitives import read_answer

Result = TypeVar("Result")

HEARTBEAT: Final = timedelta(seconds=30)
"""Time after which another worker retries an activity whose worker was killed."""
_SPAN: Final = timedelta(hours=6)  # of one activity: a search may look through all journeys that Temporal knows
_RETRY: Final = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))


@workflow.defn(name=WORKFLOW)
class Erase:
    """Erases a contact."""

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> int:
        """Pass over everything that may hold the contact until a pass after the first finds nothing.

        Returns:
            The number of passes.

        Raises:
            ApplicationError: The argument is not an erasure, or the store does not have it.
        """
        asked = erasing_in(argument)
        if asked is None:
            raise ApplicationError(
                f'The argument of {WORKFLOW} must be {{"erasure": "the id of one in the store"}}',
                type="NotAnErasure",
                non_retryable=True,
            )
        while True:
            ended = await _call(END_JOURNEYS, asked)
            asked = replace(asked, remaining=ended.remaining)
            if ended.remaining:
                await _call(DELETE_HISTORIES, asked)
            cleared = await _call(CLEAR_ROWS, asked)
            asked = replace(asked, passes=asked.passes + 1)
            if cleared.finished:
                return asked.passes
            workflow.set_current_details(f"{asked.passes} passes are over; {ended.remaining} runs remained")
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(asked)
            await workflow.sleep(timedelta(seconds=cleared.pause), summary="until the next pass")


async def _call(call: ActivityType[Erasing, Result], asked: Erasing) -> Result:
    answer = await workflow.execute_activity(
        call.name,
        asked,
        result_type=RawValue,
        task_queue=call.queue,
        start_to_close_timeout=_SPAN,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=_RETRY,
        priority=priority_of(OPERATORS),
    )
    return read_answer(call, answer)
