"""`worker.py` as it is, except that every webhook is led to a local receiver, and that no server is waited for.

TEST_RECEIVER=http://127.0.0.1:4000 python -m tests.e2e.process

With TEST_STALLS, attempts that deliver are made and logged, and never reported to Temporal. With TEST_STALLS=all,
neither are those that fail, as if Temporal was away.
"""

import asyncio
import os
from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

from temporalio.client import Client
from temporalio.exceptions import ApplicationError

import worker
from activities.attempt_context import AttemptContext
from activities.channel import ChannelActivity
from activities.interface import Delivery, Sent
from activities.open_attempt import OpenAttempt
from activities.webhook.route import Diverted
from runtime.connection import connect
from workflows import delivery


async def impatient(*, patience: float, **given: Any) -> Client:
    del patience
    return await connect(patience=0.0, **given)


async def stalling(activity: ChannelActivity[Any], delivery: Delivery, context: AttemptContext) -> Sent:
    try:
        await send(activity, delivery, context)
    except ApplicationError:
        if not SILENT:
            raise
    return await asyncio.Future[Sent]()


def leave_unmarked(attempt: OpenAttempt, word: str) -> None:
    del attempt, word


send, mark = ChannelActivity[Any].send, OpenAttempt.mark
SILENT = os.environ.get("TEST_STALLS") == "all"

if __name__ == "__main__":
    diverted = partial(worker.services, routes=Diverted(os.environ["TEST_RECEIVER"]))
    with (
        patch.object(worker, "services", diverted),
        patch.object(worker, "connect", impatient),
        patch.object(ChannelActivity, "send", stalling if "TEST_STALLS" in os.environ else send),
        patch.object(OpenAttempt, "mark", leave_unmarked if SILENT else mark),
        # The time after which Temporal misses an attempt of a killed worker, beside the attempt's own.
        patch.object(delivery, "GRACE", timedelta(seconds=1)),
        patch.object(delivery, "_PATIENCE", timedelta(seconds=1)),
    ):
        worker.main()
