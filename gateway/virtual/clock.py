"""A clock that jumps from one moment at which somebody waits to the next, for as many coroutines as there are."""

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
    """What a coroutine waits for: a moment (None: for ever), or something that its owner is told of."""

    owner: Hashable
    until: datetime | None
    wake: Callable[[], bool]

    def __await__(self) -> Generator[_Wait, bool, bool]:
        return (yield self)


class Task(Generic[T]):
    """A coroutine that runs by a `Clock`."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.coroutine = coroutine
        self.done = False
        self._result: list[T] = []

    @property
    def result(self) -> T | None:
        """What it returned; None as long as it has not."""
        return self._result[0] if self._result else None

    def resume(self, woke: bool | None) -> _Wait | None:
        """Runs it until it waits again, or is over (None)."""
        try:
            return self.coroutine.send(woke)
        except StopIteration as over:
            self.done = True
            self._result.append(over.value)
            return None


class Clock:
    """Virtual time. An error of a coroutine is raised by `run`.

    Args:
        now: Where it begins; aware.
    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._ready: deque[tuple[Task[Any], bool | None]] = deque()
        self._timers: list[tuple[datetime, int, Callable[[], None]]] = []
        self._waiting: dict[Hashable, tuple[_Wait, Task[Any]]] = {}
        self._count = count()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        """Takes a coroutine on, that waits by `wait` alone."""
        task = Task(coroutine)
        self._ready.append((task, None))
        return task

    def at(self, moment: datetime, action: Callable[[], None]) -> None:
        """Does something at a moment, or at once where that is past."""
        heapq.heappush(self._timers, (max(moment, self.now), next(self._count), action))

    async def wait(self, owner: Hashable, until: datetime | None, wake: Callable[[], bool]) -> bool:
        """Waits until a moment (None: for ever), or until `wake`; tells whether it woke.

        Args:
            owner: Whose coroutine it is: `tell` has `wake` asked again. It has one wait at a time.
            until: The moment.
            wake: Whether what it waits for has happened.
        """
        return True if wake() else await _Wait(owner, until, wake)

    def tell(self, owner: Hashable) -> None:
        """Says that something has happened to an owner of coroutines."""
        wait, task = self._waiting.get(owner, (None, None))
        if wait is not None and task is not None and wait.wake():
            del self._waiting[owner]
            self._ready.append((task, True))

    def run(self, until: datetime | None = None) -> None:
        """Lets time pass until nobody waits for a moment, or until one. Who waits for ever is left waiting.

        Args:
            until: Where time stops, if it is not there yet; what is due then is done. None: at the last moment that
                somebody waits for.
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
        wait = task.resume(woke)
        if wait is None:
            return
        self._waiting[wait.owner] = (wait, task)
        if wait.until is not None:
            self.at(wait.until, lambda: self._over(wait))

    def _over(self, wait: _Wait) -> None:
        """Ends a wait whose moment has come, unless it woke before."""
        waiting, task = self._waiting.get(wait.owner, (None, None))
        if waiting is wait and task is not None:
            del self._waiting[wait.owner]
            self._ready.append((task, False))
