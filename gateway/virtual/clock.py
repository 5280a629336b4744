"""A clock that jumps from one awaited moment to the next, for any number of coroutines."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Hashable
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class _Wait:
    """A wait for a moment (None: forever), or for a notification of its owner."""

    owner: Hashable
    until: datetime | None
    wake: Callable[[], bool]

    def __await__(self) -> Generator[_Wait, bool, bool]:
        return (yield self)


@dataclass(eq=False)
class Task(Generic[T]):
    """A coroutine that a `Clock` runs. It has no result while it runs."""

    coroutine: Coroutine[Any, Any, T]
    done: bool = False
    result: T | None = None


class Clock:
    """Virtual time that begins at an aware `now`. `run` raises the error of a coroutine."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._ready: deque[tuple[Task[Any], bool | None]] = deque()
        self._timers: list[tuple[datetime, int, Callable[[], None]]] = []
        self._waiting: dict[Hashable, tuple[_Wait, Task[Any]]] = {}
        self._count = count()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Run a coroutine that awaits nothing but `wait`."""
        task = Task(coroutine)
        self._ready.append((task, None))
        return task

    def at(self, moment: datetime, action: Callable[[], None]) -> None:
        """Call an action at a moment, or as soon as possible if it is past."""
        heapq.heappush(self._timers, (max(moment, self.now), next(self._count), action))

    async def wait(self, owner: Hashable, until: datetime | None, wake: Callable[[], bool]) -> bool:
        """Wait until a moment (None: forever), or until `wake` returns True. Return True for the latter.

        Args:
            owner: The owner of the coroutine, which has one wait at a time. `tell` checks `wake` again.
        """
        return True if wake() else await _Wait(owner, until, wake)

    def tell(self, owner: Hashable) -> None:
        """Notify an owner that something has happened."""
        wait, task = self._waiting.get(owner, (None, None))
        if wait is not None and task is not None and wait.wake():
            del self._waiting[owner]
            self._ready.append((task, True))

    def run(self, until: datetime | None = None) -> None:
        """Let time pass until no moment is awaited. Coroutines that wait forever stay waiting.

        Args:
            until: Stop at this moment, after the actions due then. None: at the last awaited moment.
        """
        while True:
            while self._ready:
                self._resume(*self._ready.popleft())
            if not self._timers or (until is not None and self._timers[0][0] > until):
                self.now = self.now if until is None else max(self.now, until)
                return
            moment, _, action = heapq.heappop(self._timers)
            self.now = max(self.now, moment)
            action()

    def _resume(self, task: Task[Any], woke: bool | None) -> None:
        try:
            wait: _Wait = task.coroutine.send(woke)
        except StopIteration as over:
            task.done, task.result = True, over.value
            return
        self._waiting[wait.owner] = (wait, task)
        if wait.until is not None:
            self.at(wait.until, lambda: self._over(wait))

    def _over(self, wait: _Wait) -> None:
        """End a wait at its moment, unless it woke before."""
        waiting, task = self._waiting.get(wait.owner, (None, None))
        if waiting is wait and task is not None:
            del self._waiting[wait.owner]
            self._ready.append((task, False))
