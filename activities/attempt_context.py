"""The connection of an attempt to Temporal: data of the activity, the journey's status, marks for the next attempt."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final

from temporalio import activity

from activities.interface import DelayReport
from activities.journey_status import JourneyStatus, journey_status, report_delay, was_lost

REPORTS: Final[set[asyncio.Task[None]]] = set()
"""Reports to journeys in progress."""


class AttemptContext:
    """The connection of an attempt to Temporal, if a Temporal activity makes this attempt alone."""

    def __init__(self, info: activity.Info | None = None) -> None:
        self.info = info or activity.info()

    @property
    def is_stopping(self) -> bool:
        """True if a stopping worker has cancelled the attempt."""
        details = activity.cancellation_details()
        return details is not None and details.worker_shutdown

    def mark(self, *values: Any) -> None:
        """Leave values for the next attempt. They are sent with the failure of this one."""
        activity.heartbeat(*values)

    async def store_mark(self, *values: Any, patience: timedelta) -> None:
        """Leave values for the next attempt, and return once they are durable.

        Raises:
            AsyncActivityCancelledError: The message is not wanted any longer.
            RPCError: The server has not stored them in time.
        """
        handle = activity.client().get_async_activity_handle(task_token=self.info.task_token)
        await handle.heartbeat(*values, rpc_timeout=patience)

    async def journey_status(self, patience: timedelta) -> JourneyStatus:
        """Return the status of the attempt's journey, or raise RPCError."""
        return await journey_status(self.info, patience)

    def report_delay(self, report: DelayReport) -> None:
        """Report to the attempt's journey that the delivery is delayed. The attempt does not wait for it."""
        task = asyncio.create_task(report_delay(self.info, report))
        REPORTS.add(task)
        task.add_done_callback(REPORTS.discard)

    async def was_lost(self, patience: timedelta) -> bool:
        """Return True if a worker was lost with the previous attempt."""
        return await was_lost(self.info, patience)
