"""Notices within seconds that the process lacks something, before somebody asks why journeys stand still."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Protocol

from runtime.errors import SetupError
from runtime.store.errors import StoreError

logger = logging.getLogger(__name__)

EVERY: Final = 3.0
"""Seconds between two looks."""
PATIENCE: Final = 5.0
"""Seconds that a look may take."""
_LATE: Final = 3
"""Checks that may be cancelled and not over: while so many are, no further one is begun."""


class Looked(Protocol):
    """What is watched: the store, or what Temporal says of this worker."""

    @property
    def name(self) -> str: ...
    async def check(self) -> None: ...


class Watch:
    """What is known of something that a process needs.

    Args:
        looked: What is looked at. Its check raises a `StoreError` or a `SetupError` where it cannot be used.
        what: It, at the start of a sentence, before its name.
        patience: Seconds that a look may take.
    """

    def __init__(self, looked: Looked, what: str = "The store", *, patience: float = PATIENCE) -> None:
        self._looked, self._what, self._patience = looked, what, patience
        self._late = set[asyncio.Task[None]]()
        self.trouble: str | None = None
        """Why it could not be used at the last look, or None."""

    def is_well(self) -> bool:
        """Return True if it could be used at the last look."""
        return self.trouble is None

    async def look(self) -> None:
        """Looks, and logs what has changed since the last look."""
        trouble, unforeseen = None, None
        try:
            if not await self._answers():
                trouble = f"{self._what} {self._looked.name} does not answer: check that it is running."
        except (StoreError, SetupError) as error:
            trouble = str(error)
        except Exception as error:  # whatever it is: who does not look any more takes it for well
            trouble = f"{self._what} {self._looked.name} cannot be looked at ({type(error).__name__})."
            unforeseen = error
        if trouble not in (None, self.trouble):
            logger.error("%s", trouble, exc_info=unforeseen)
        elif trouble is None and self.trouble is not None:
            logger.info("%s %s can be used again.", self._what, self._looked.name)
        self.trouble = trouble

    async def _answers(self) -> bool:
        """Return whether a check succeeds in time. A late one is cancelled, and nobody waits for that to be done.

        A database driver cancels by asking the same server, which may be frozen.
        """
        if len(self._late) >= _LATE:
            return False
        check = asyncio.create_task(self._looked.check(), name=f"check {self._looked.name}")
        try:
            await asyncio.wait([check], timeout=self._patience)
        finally:
            if not check.done():
                check.cancel()
                self._late.add(check)
                check.add_done_callback(self._forget)
        if not check.done():
            return False
        check.result()
        return True

    def _forget(self, check: asyncio.Task[None]) -> None:
        self._late.discard(check)
        if not check.cancelled():
            check.exception()  # else asyncio logs it


@asynccontextmanager
async def watching(
    looked: Looked, what: str = "The store", *, every: float = EVERY, patience: float = PATIENCE
) -> AsyncGenerator[Watch]:
    """Looks at something once before anything else, and then again and again.

    Args:
        looked: What is looked at.
        what: It, at the start of a sentence.
        every: Seconds between two looks.
        patience: Seconds that a look may take.
    """
    watch = Watch(looked, what, patience=patience)

    async def run() -> None:
        while True:
            await asyncio.sleep(every)
            await watch.look()

    await watch.look()
    task = asyncio.create_task(run(), name=f"watch {looked.name}")
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait([task])
