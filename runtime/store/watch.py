"""Notices within seconds that the store cannot be used any more, before somebody asks why journeys stand still."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Protocol

from runtime.store.errors import StoreError

logger = logging.getLogger(__name__)

EVERY: Final = 3.0
"""Seconds between two looks."""
PATIENCE: Final = 5.0
"""Seconds that a look may take."""


class Looked(Protocol):
    """What is watched: a ``Store``."""

    @property
    def name(self) -> str: ...  # noqa: D102
    async def check(self) -> None: ...  # noqa: D102


class Watch:
    """What is known of a store.

    Args:
        store: The store.
        patience: Seconds that a look may take.
    """

    def __init__(self, store: Looked, *, patience: float = PATIENCE) -> None:
        self._store, self._patience = store, patience
        self.trouble: str | None = None
        """Why the store could not be used at the last look, or None."""

    async def look(self) -> None:
        """Looks, and logs what has changed since the last look."""
        trouble, unforeseen = None, None
        try:
            async with asyncio.timeout(self._patience):
                await self._store.check()
        except TimeoutError:
            trouble = f"The store {self._store.name} does not answer: check that it is running."
        except StoreError as error:
            trouble = str(error)
        except Exception as error:  # whatever it is: who does not look any more takes the store for well
            trouble = f"The store {self._store.name} cannot be looked at ({type(error).__name__})."
            unforeseen = error
        if trouble not in (None, self.trouble):
            logger.error("%s", trouble, exc_info=unforeseen)
        elif trouble is None and self.trouble is not None:
            logger.info("The store %s can be used again.", self._store.name)
        self.trouble = trouble


@asynccontextmanager
async def watching(store: Looked, *, every: float = EVERY) -> AsyncGenerator[Watch]:
    """Looks at a store again and again.

    Args:
        store: The store.
        every: Seconds between two looks.
    """
    watch = Watch(store)

    async def run() -> None:
        while True:
            await watch.look()
            await asyncio.sleep(every)

    task = asyncio.create_task(run(), name="store-watch")
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.wait([task])
