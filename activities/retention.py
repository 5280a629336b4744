"""The Temporal Schedule that prunes the store daily. Each starting worker updates it to the setting."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Final

from temporalio import activity
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.background import PRUNE, PRUNE_WORKFLOW, PruneRequest, PruneResult
from activities.interface import JOURNEYS
from runtime.errors import StoreFault
from runtime.retention import RetentionError, format_ages, parse_ages
from runtime.store.retention import Pruner, PruningPosition, Retention
from runtime.telemetry.metrics import RETENTION_DELETED

SECONDS: Final = 2.0
"""Maximum duration of a part: far shorter than a workflow task."""


class Prunings:
    """Deletes old data."""

    def __init__(self, store: Retention) -> None:
        self._pruning = Pruner(store)

    @activity.defn(name=PRUNE.name)
    async def prune(self, request: PruneRequest) -> PruneResult:
        """Delete a part of the old data.

        Malformed ages, or a database that refuses to delete, fail it without retries. The next day, it is tried again.
        """
        try:
            ages = parse_ages(request.ages)
        except RetentionError as error:
            raise ApplicationError(str(error), type="RetentionError", non_retryable=True) from None
        place = (
            PruningPosition(request.job, datetime.fromisoformat(request.since)) if request.job else PruningPosition()
        )
        try:
            done = await self._pruning.run(
                ages,
                datetime.fromisoformat(request.now),
                place,
                seconds=SECONDS,
                told=lambda table, rows: RETENTION_DELETED.add(table, number=rows),
            )
        except StoreFault as error:
            raise ApplicationError(str(error), type="StoreFault", non_retryable=True) from None
        where = {"job": done.place.job, "since": done.place.since.isoformat()} if done.place else {}
        return PruneResult(**where, deleted=done.deleted, kept=done.kept, pause=done.pause)


logger = logging.getLogger(__name__)

SCHEDULE: Final = "scenario-retention"
"""The schedule's id, and the prefix of its workflows' ids."""
_HOUR: Final = 2  # UTC; with the jitter it begins between 2 and 5, another minute in each namespace
_JITTER: Final = timedelta(hours=3)
_MISSED: Final = timedelta(hours=12)  # what came due while the server was down is made up for within this
_PATIENCE: Final = 10.0
_SEALED: Final = {"args", "memo", "headers", "static_details", "_from_raw"}


async def keep_schedule(client: Client, retention: str | None) -> None:
    """Update the schedule to the setting, or delete it without one.

    Several workers may do so at the same time. A worker without the right, or a server without schedules, is logged:
    journeys do not depend on it. A paused schedule stays paused.
    """
    trouble = ""
    try:
        async with asyncio.timeout(_PATIENCE):
            await (_keep(client, format_ages(parse_ages(retention))) if retention else _delete(client))
    except RPCError as error:
        trouble = f"the Temporal server refused it ({error.status.name})"
    except TimeoutError:
        trouble = f"the Temporal server did not answer within {_PATIENCE:g} s"
    if trouble and retention:  # without the setting, there is usually no schedule
        logger.warning("the schedule %s is not kept: %s; have 'scenario prune' run by other means", SCHEDULE, trouble)


async def _keep(client: Client, ages: str) -> None:
    wanted = _schedule(ages)

    def changed(found: ScheduleUpdateInput) -> ScheduleUpdate | None:
        there = found.description.schedule
        if _compared(there) == _compared(wanted):
            return None
        before = ", ".join(str(one.comment) for one in there.spec.calendars)
        logger.info("the schedule %s is changed for SCENARIO_RETENTION=%s; it was for %s", SCHEDULE, ages, before)
        wanted.state = there.state
        return ScheduleUpdate(wanted)

    try:
        await client.create_schedule(SCHEDULE, wanted)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(SCHEDULE).update(changed)


def _compared(schedule: Schedule) -> object:
    """Return the compared settings of a schedule.

    The comment with the ages stands for the action, which may be encrypted. Pauses are the operators' own.
    """
    action = {name: value for name, value in vars(schedule.action).items() if name not in _SEALED}
    return action, schedule.spec, schedule.policy


def _schedule(ages: str) -> Schedule:
    action = ScheduleActionStartWorkflow(PRUNE_WORKFLOW, PruneRequest(ages=ages), id=SCHEDULE, task_queue=JOURNEYS)
    # In clear, whatever is encrypted: `temporal schedule describe` fails at a summary that it cannot read.
    action.static_summary = PayloadConverter.default.to_payload(f"delete what is older: {ages}")
    return Schedule(
        action=action,
        spec=ScheduleSpec(calendars=[ScheduleCalendarSpec(hour=(ScheduleRange(_HOUR),), comment=ages)], jitter=_JITTER),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=_MISSED),
    )


async def _delete(client: Client) -> None:
    try:
        await client.get_schedule_handle(SCHEDULE).delete()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    else:
        logger.warning(
            "the schedule %s is deleted, as SCENARIO_RETENTION is not set: nothing goes day by day", SCHEDULE
        )
