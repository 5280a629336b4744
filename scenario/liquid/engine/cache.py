"""Compiled templates, kept by content."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MAX_CHARACTERS: Final = 2_000_000
"""Source text whose compiled form one cache keeps: about 60 MB, since a compiled template is 30 times its source."""


class Cache(Generic[T]):
    """What was compiled last, up to a number of characters of source. Safe for threads.

    Two threads that miss at the same time both compile; that is cheaper than one waiting for the other.

    Args:
        capacity: Characters of source, all entries together.
    """

    def __init__(self, capacity: int = MAX_CHARACTERS) -> None:
        self._capacity = capacity
        self._held = 0
        self._entries: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, weight: int, make: Callable[[], T]) -> T:
        """The entry of that key, made if it is not there.

        Args:
            key: The content that it is compiled from.
            weight: Characters of that content.
            make: Compiles it. What it raises is passed on, and nothing is kept.
        """
        entries = self._entries
        found = entries.get(key)
        if found is not None:
            with self._lock:
                if key in entries:
                    entries.move_to_end(key)
            return found[0]
        made = make()
        with self._lock:
            if key not in entries:
                entries[key] = (made, weight)
                self._held += weight
            while self._held > self._capacity and len(entries) > 1:
                _, (_, dropped) = entries.popitem(last=False)
                self._held -= dropped
        return made
