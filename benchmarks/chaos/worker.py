"""`worker.py` with a stand-in for Twilio, and, if variables say so, with a planted mistake or a trap.

    python -m benchmarks.chaos.worker [--queues …]

CHAOS_TWILIO is the stand-in's address, CHAOS_PLANT a name in `benchmarks.chaos.plants`. With CHAOS_TRAP, such as
``sms:3``, the worker kills itself after its third attempt by SMS, when the log has the attempt and Temporal does not.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from contextlib import ExitStack
from functools import partial
from typing import Any, Final
from unittest.mock import patch

import worker
from activities.channel import ChannelAdapter
from activities.email.channel import EmailChannel
from activities.sms import configured
from activities.sms.channel import SmsChannel
from benchmarks.chaos.plants import PLANTS

TWILIO: Final = "CHAOS_TWILIO"
PLANT: Final = "CHAOS_PLANT"
TRAP: Final = "CHAOS_TRAP"
_LOGGED_SECONDS: Final = 1.5
"""Seconds after which an attempt is in the log."""
_CHANNELS: Final[dict[str, type[ChannelAdapter[Any, Any]]]] = {"sms": SmsChannel, "email": EmailChannel}


def set_trap(stack: ExitStack, trap: str) -> None:
    """Let the process kill itself once the log has the n-th delivery of a channel."""
    name, _, number = trap.partition(":")
    channel, numbers = _CHANNELS[name], itertools.count(1)
    original = channel.deliver

    async def deliver(*given: Any) -> Any:
        sent = await original(*given)
        if next(numbers) == int(number):
            await asyncio.sleep(_LOGGED_SECONDS)
            os.kill(os.getpid(), signal.SIGKILL)
        return sent

    stack.enter_context(patch.object(channel, "deliver", deliver))


def main() -> None:
    with ExitStack() as stack:
        stack.enter_context(patch.object(configured, "Twilio", partial(configured.Twilio, origin=os.environ[TWILIO])))
        if trap := os.environ.get(TRAP):
            set_trap(stack, trap)
        if plant := os.environ.get(PLANT):
            stack.enter_context(PLANTS[plant].patch())
        worker.main()


if __name__ == "__main__":
    main()
