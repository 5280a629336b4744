"""`worker.py` as it is, except that every webhook is led to a local receiver, and that no server is waited for.

TEST_RECEIVER=http://127.0.0.1:4000 python -m tests.e2e.process

With TEST_STALLS, attempts are made and logged, and never reported to Temporal.
"""

import asyncio
import os
from datetime import timedelta
from functools import partial
from typing import Any
from unittest.mock import patch

from temporalio.client import Client

import worker
from activities.attempt_context import AttemptContext
from activities.channel import ChannelActivity
from activities.interface import Delivery, Sent
from activities.webhook.route import Diverted
from runtime.connection import connect
from workflows import delivery


async def impatient(*, patience: float, **given: Any) -> Client:
    del patience
    return await connect(patience=0.0, **given)


async def stalling(activity: ChannelActivity[Any], delivery: Delivery, context: AttemptContext) -> Sent:
    await send(activity, delivery, context)
    return await asyncio.Future[Sent]()


send = ChannelActivity[Any].send

if __name__ == "__main__":
    diverted = partial(worker.services, routes=Diverted(os.environ["TEST_RECEIVER"]))
    with (
        patch.object(worker, "services", diverted),
        patch.object(worker, "connect", impatient),
        patch.object(ChannelActivity, "send", stalling if "TEST_STALLS" in os.environ else send),
        # The time after which Temporal misses an attempt of a killed worker, beside the attempt's own.
        patch.object(delivery, "GRACE", timedelta(seconds=1)),
        patch.object(delivery, "_PATIENCE", timedelta(seconds=1)),
    ):
        worker.main()
