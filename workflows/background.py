"""Background work on the store and for other systems: retention, erasure, suppression notices and audiences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeVar

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, CancelledError

from activities.background import (
    AUDIENCE_WORKFLOW,
    CLEAR_ROWS,
    DELETE_HISTORIES,
    END_JOURNEYS,
    ERASE_WORKFLOW,
    FREEZE,
    HOLD_AUDIENCE,
    PRUNE,
    PRUNE_WORKFLOW,
    SEND_BATCH,
    TELL,
    TELL_WORKFLOW,
    AudienceBatch,
    AudienceRef,
    AudienceTrouble,
    ErasurePass,
    PlatformReply,
    PruneRequest,
    SuppressionNotice,
    read_argument,
)
from activities.interface import OPERATORS, ActivityType, priority_of
from scenario.words import MARKETING, TRANSACTIONAL
from workflows.primitives import bad_argument, call, read_answer, reason_of

Result = TypeVar("Result")

PAUSE: Final = timedelta(seconds=1)
"""Minimum pause between two batches of deletions."""
HEARTBEAT: Final = timedelta(seconds=30)
"""Time after which another worker retries an activity whose worker was killed."""
_SPAN: Final = timedelta(hours=6)  # of one activity: a search may look through all journeys that Temporal knows
_RETRY: Final = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))

ATTEMPT: Final = timedelta(seconds=30)
"""Timeout of one notice to the platform."""
DEADLINE: Final = timedelta(days=7)
"""Time after which a notice fails, for operators to find, and an audience is held."""
RETRY: Final = RetryPolicy(
    initial_interval=timedelta(seconds=5), backoff_coefficient=2.0, maximum_interval=timedelta(hours=1)
)
_AUDIENCE_ATTEMPT: Final = timedelta(minutes=6)  # a destination's timeout is at most five
_AUDIENCE_RETRY: Final = RetryPolicy(
    initial_interval=timedelta(seconds=5), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=10)
)


@workflow.defn(name=PRUNE_WORKFLOW)
class Prune:
    """Deletes old rows from the store. A Temporal Schedule of the workers starts it daily.

    Each local activity works for a moment and returns where it stopped. A timer follows, so that a worker that stops
    leaves the rest to another. The workflow only needs that position: deletions are final.
    """

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> dict[str, Any]:
        """Return the number of deleted rows by kind, and the rows kept longer with the reason."""
        pruning = read_argument(PruneRequest, argument)
        if pruning is None or not pruning.is_sound:
            raise bad_argument(PRUNE_WORKFLOW, 'be {"ages": "deliveries=180d,entries=2y"}', "NotAges")
        pruning = replace(pruning, now=pruning.now or workflow.now().isoformat())
        while True:
            some = await call(PRUNE, replace(pruning, deleted={}))
            deleted = dict(Counter(pruning.deleted) + Counter(some.deleted))
            workflow.set_current_details(_details(deleted, some.job))
            if not some.job:
                return {"deleted": deleted, "kept": list(some.kept)}
            pruning = replace(pruning, job=some.job, since=some.since, deleted=deleted)
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(pruning)
            await workflow.sleep(max(PAUSE, timedelta(seconds=some.pause)), summary=f"pause; then {some.job}")


def _details(deleted: Mapping[str, int], job: str) -> str:
    rows = "".join(f"| {what} | {n:,} |\n" for what, n in sorted(deleted.items()))
    return f"| rows deleted | |\n|---|---|\n{rows}\n{f'at {job}' if job else 'done'}"


@workflow.defn(name=ERASE_WORKFLOW)
class Erase:
    """Erases a contact, in passes, until Temporal and the store hold nothing of it.

    Its history holds only the erasure's id and counts. Until the erasure is finished, the store maps the id to the
    contact. An erasure never fails: a failed activity is retried, with pauses of up to a minute, and recorded as its
    trouble.
    """

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> int:
        """Pass over everything that may hold the contact until a pass finds nothing. Return the number of passes."""
        erasing = read_argument(ErasurePass, argument)
        if erasing is None:
            raise bad_argument(ERASE_WORKFLOW, 'be {"erasure": "the id of one in the store"}', "NotAnErasure")
        while True:
            ended = await _erase(END_JOURNEYS, erasing)
            erasing = replace(erasing, remaining=ended.remaining)
            if ended.remaining:
                await _erase(DELETE_HISTORIES, erasing)
            cleared = await _erase(CLEAR_ROWS, erasing)
            erasing = replace(erasing, passes=erasing.passes + 1)
            if cleared.finished:
                return erasing.passes
            workflow.set_current_details(f"{erasing.passes} passes are over; {ended.remaining} runs remained")
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(erasing)
            await workflow.sleep(timedelta(seconds=cleared.pause), summary="until the next pass")


async def _erase(activity: ActivityType[ErasurePass, Result], erasing: ErasurePass) -> Result:
    answer = await workflow.execute_activity(
        activity.name,
        erasing,
        result_type=RawValue,
        task_queue=activity.queue,
        start_to_close_timeout=_SPAN,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=_RETRY,
        priority=priority_of(OPERATORS),
    )
    return read_answer(activity, answer)


@workflow.defn(name=TELL_WORKFLOW)
class TellPlatform:
    """Notifies the platform that an address is suppressed. The activity is retried until it succeeds."""

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> PlatformReply:
        notice = read_argument(SuppressionNotice, argument)
        if notice is None:
            raise bad_argument(TELL_WORKFLOW, "come from a worker", "NotNews")
        return await workflow.execute_activity(
            TELL.name,
            notice,
            result_type=PlatformReply,
            task_queue=notice.queue,
            start_to_close_timeout=ATTEMPT,
            schedule_to_close_timeout=DEADLINE,
            retry_policy=RETRY,
            summary=f"tell {notice.destination}: {notice.channel} {notice.source}",
            priority=priority_of(TRANSACTIONAL, notice.destination),
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
            raise bad_argument(AUDIENCE_WORKFLOW, "come from a worker", "NotAnAudience")
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
                    start_to_close_timeout=_AUDIENCE_ATTEMPT,
                    schedule_to_close_timeout=DEADLINE,
                    retry_policy=_AUDIENCE_RETRY,
                    summary=f"{audience.audience} → {audience.destination}",
                    priority=priority_of(MARKETING, audience.destination),
                )
            except ActivityError as error:
                if isinstance(error.cause, CancelledError):
                    raise
                reason = reason_of(error, f"it was not sent within {DEADLINE.days} days")
                await call(HOLD_AUDIENCE, AudienceTrouble(**where, reason=reason))
                return "held"
            # Members to be sent again must not be sent in a busy loop: the next run does it.
            if not frozen.more or read_answer(SEND_BATCH, answer).again:
                return "synced"
            if workflow.info().is_continue_as_new_suggested():
                workflow.continue_as_new(audience)
