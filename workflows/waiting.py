"""A wait of limited length that resumes in the same order on every version of Python.

`workflow.wait_condition` with a timeout is `asyncio.wait_for`, which Python 3.12 rewrote: the waiting task resumes one
turn of the event loop earlier than on 3.11, and finds fewer events taken in. A journey recorded on one version then
fails to replay on the other. Here a task of its own sleeps, and a condition without a timeout watches both: on all
versions that condition is a plain future, and the SDK checks conditions in the order in which they were made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow


async def wait(ready: Callable[[], bool], limit: timedelta | None, summary: str) -> bool:
    """Wait until a condition holds or the time is over.

    Args:
        ready: The condition.
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
