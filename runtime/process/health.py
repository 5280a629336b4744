"""Health pages: is the process alive, and is it ready to work?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from runtime.clock_offset import ClockOffset
from runtime.errors import ClockWrong, SetupError, StoreError
from runtime.process.http_guard import ALIVE, READY
from runtime.process.http_server import HttpServer
from runtime.process.ports import HOST
from runtime.telemetry import metrics

Check = Callable[[], bool]
"""True if one thing that the process needs is there. Called from any thread, it asks nobody."""

_REQUESTS: Final = 16
"""So many may be under way at once: those who watch over a process are few."""
_DRAIN: Final = 1


@asynccontextmanager
async def health_pages(port: int, checks: Mapping[str, Check], *, host: str = HOST) -> AsyncGenerator[HttpServer]:
    """Serves ``/healthz`` and ``/readyz``.

    ``/healthz`` answers 200 while the process's event loop turns: restart it where it does not. ``/readyz`` asks every
    check and answers 200 where all say yes, else 503, with which said what: ``{"ready": false, "checks": {"temporal":
    false}}``. A check that raises makes it 500, and is logged.

    Args:
        port: 0 takes a free one, see `HttpServer.port`.
        checks: Name → check.
        host: The address to listen on. A cluster's probes come from outside, and need another than loopback's.

    Raises:
        LocalError: The port cannot be listened on.
    """

    async def alive(_request: Request) -> JSONResponse:
        return JSONResponse({"alive": True})

    async def ready(_request: Request) -> JSONResponse:
        return readiness(checks)

    async with HttpServer(port, host, purpose="the health pages") as server:
        pages = Starlette(routes=[Route(ALIVE, alive), Route(READY, ready)])
        server.start(pages, requests=_REQUESTS, drain=_DRAIN)
        yield server


def readiness(checks: Mapping[str, Check]) -> JSONResponse:
    """Answer whether all checks succeed, and which do not."""
    found = {name: check() for name, check in checks.items()}
    ready = all(found.values())
    return JSONResponse({"ready": ready, "checks": found}, 200 if ready else 503)


@contextmanager
def measuring_readiness(checks: Mapping[str, Check]) -> Generator[None]:
    """Measure the checks, too. More of them may be added meanwhile."""
    metrics.READY.reads(lambda: [((name,), float(check())) for name, check in list(checks.items())])
    try:
        yield
    finally:
        metrics.READY.reads(None)


logger = logging.getLogger(__name__)

EVERY: Final = 3.0
"""Seconds between two looks."""
PATIENCE: Final = 5.0
"""Seconds that a look may take."""
_LATE: Final = 3
"""Checks that may be cancelled and not over: while so many are, no further one is begun."""


class Checkable(Protocol):
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

    def __init__(self, looked: Checkable, what: str = "The store", *, patience: float = PATIENCE) -> None:
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
    looked: Checkable, what: str = "The store", *, every: float = EVERY, patience: float = PATIENCE
) -> AsyncGenerator[Watch]:
    """Looks at something once before anything else, and then again and again.

    Args:
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


LIMIT: Final = 30.0
"""Seconds by which clocks may differ."""

_CALLED: Final = {"store": "the store's", "temporal": "Temporal's"}


class OffsetSource(Protocol):
    """The store, or a worker's view of Temporal."""

    @property
    def clock_offset(self) -> ClockOffset | None: ...


class ClockCheck:
    """This machine's clock, as `Watch` checks it. The check makes no call: other checks measure the offsets.

    Args:
        others: The sides that have another clock, by name: `store`, `temporal`.
    """

    name = "of this machine"

    def __init__(self, others: Mapping[str, OffsetSource]) -> None:
        self._others = others
        self._reported: dict[tuple[str, bool], str] = {}

    async def check(self) -> None:
        """Compare the clocks.

        Raises:
            ClockWrong: One differs by more than `LIMIT`. The sentence has the offset that was seen first.
        """
        wrong = {(of, seconds > 0): seconds for of, seconds in self.read() if abs(seconds) > LIMIT}
        self._reported = {of: self._reported.get(of) or _sentence(*of, seconds) for of, seconds in wrong.items()}
        for sentence in self._reported.values():
            raise ClockWrong(sentence)

    def read(self) -> list[tuple[str, float]]:
        """Return the offsets that are certain."""
        seen = {of: other.clock_offset for of, other in self._others.items()}
        return [(of, offset.certain) for of, offset in seen.items() if offset is not None]


def _sentence(of: str, ahead: bool, seconds: float) -> str:
    return (
        f"The clock of this machine is {abs(seconds):,.0f} s {'ahead of' if ahead else 'behind'} {_CALLED[of]}: "
        "have both set by NTP."
    )


@asynccontextmanager
async def watching_clock(others: Mapping[str, OffsetSource]) -> AsyncGenerator[Watch]:
    """Compare this machine's clock periodically, and measure its offsets."""
    clock = ClockCheck(others)
    metrics.CLOCK_OFFSET.reads(lambda: [((of,), seconds) for of, seconds in clock.read()])
    try:
        async with watching(clock, "The clock") as watch:
            yield watch
    finally:
        metrics.CLOCK_OFFSET.reads(None)
