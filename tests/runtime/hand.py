"""A worker that does as it is told, in the place of Temporal's."""

from __future__ import annotations

import asyncio


class Hand:
    """A worker that does as it is told.

    Attributes:
        polls: Set once it does.
        breaks: Set to make it fail.
        stays: What it still waits for when it is asked to stop.
        started, asked, ended: How far it has come.
    """

    def __init__(self, task_queue: str = "webhooks", *, slow: bool = False) -> None:
        self.task_queue = task_queue
        self.polls = asyncio.Event()
        self.breaks = asyncio.Event()
        self.stays: asyncio.Event | None = None
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.asked = asyncio.Event()
        if not slow:
            self.polls.set()

    @property
    def is_running(self) -> bool:
        return self.polls.is_set() and not self.ended.is_set()

    async def run(self) -> None:
        self.started.set()
        waiting = [asyncio.create_task(event.wait()) for event in (self.breaks, self.asked)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self.breaks.is_set():
                raise RuntimeError("zoe@example.com")
            if self.stays is not None:
                await self.stays.wait()
        finally:
            for task in waiting:
                task.cancel()
            self.ended.set()

    async def shutdown(self) -> None:
        self.asked.set()
        await self.ended.wait()
