"""Limits on what one API key may occupy of a process, so that other keys do not notice it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final
from weakref import WeakValueDictionary

from gateway.api.problem import again

REQUESTS: Final = 100
"""Requests of one key in progress at the same time: a fifth of what a process takes."""
ITEMS: Final = 50
"""Items of one key's batches in progress at the same time."""
_SOON: Final = 1.0  # seconds after which one of so many requests is probably answered


class Places:
    """Places for requests in progress and for items of batches, counted per key.

    Args:
        requests: See `REQUESTS`.
    """

    def __init__(self, requests: int = REQUESTS) -> None:
        self._requests = requests
        self._taken: Counter[str] = Counter()
        self._items: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @contextmanager
    def place(self, key: str) -> Generator[None]:
        """Occupy a place for a request.

        Raises:
            Problem: All places of the key are taken.
        """
        if self._taken[key] >= self._requests:
            sentence = f"this key has {self._requests} requests in progress: wait for their answers, or send batches"
            raise again("too-many", sentence, _SOON)
        self._taken[key] += 1
        try:
            yield
        finally:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]

    def items(self, key: str) -> asyncio.Semaphore:
        """Return the places for items that all batches of a key share."""
        found = self._items.get(key)
        if found is None:
            found = self._items[key] = asyncio.Semaphore(ITEMS)
        return found
