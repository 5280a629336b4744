"""Health pages, periodic checks, and gauges of what a process needs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from cryptography.x509 import load_pem_x509_certificates
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from temporalio.client import Client
from temporalio.service import TLSConfig

from runtime.derived_keys import key_names
from runtime.errors import ClockWrong, SetupError, StoreError
from runtime.process import HOST
from runtime.process.http_server import ALIVE, READY, HttpServer
from runtime.process.shutdown import background_task
from runtime.settings import Settings
from runtime.telemetry import metrics

logger = logging.getLogger(__name__)

Check = Callable[[], bool]
"""Returns True if something the process needs is available. Called from any thread; it does no I/O."""

_REQUESTS: Final = 16  # maximum number of concurrent requests
_DRAIN: Final = 1


@asynccontextmanager
async def health_pages(port: int, checks: Mapping[str, Check], *, host: str = HOST) -> AsyncGenerator[HttpServer]:
    """Serve ``/healthz`` and ``/readyz``.

    ``/healthz`` answers 200 while the event loop runs; otherwise restart the process. ``/readyz`` answers 200 if all
    checks succeed, else 503 with their results: ``{"ready": false, "checks": {"temporal": false}}``. A check that
    raises makes it 500, and is logged.
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
    found = {name: check() for name, check in checks.items()}
    ready = all(found.values())
    return JSONResponse({"ready": ready, "checks": found}, 200 if ready else 503)


def measuring_readiness(checks: Mapping[str, Check]) -> AbstractContextManager[None]:
    """Measure the checks. More may be added meanwhile."""
    return metrics.READY.reading(lambda: [((name,), float(check())) for name, check in list(checks.items())])


EVERY: Final = 3.0  # seconds between checks
PATIENCE: Final = 5.0  # timeout of a check, in seconds
_LATE: Final = 3
"""Maximum number of cancelled checks that have not ended. At this number, no further check is started."""


class Checkable(Protocol):
    """Something that is checked periodically."""

    @property
    def name(self) -> str: ...
    async def check(self) -> None: ...


class Watch:
    """The state of something that a process needs. Its check raises a `StoreError` or a `SetupError` if it fails."""

    def __init__(self, looked: Checkable, what: str = "The store", *, patience: float = PATIENCE) -> None:
        self._looked, self._what, self._patience = looked, what, patience
        self._late = set[asyncio.Task[None]]()
        self.trouble: str | None = None

    def is_well(self) -> bool:
        """Return True if it was usable at the last check."""
        return self.trouble is None

    async def look(self) -> None:
        """Check it, and log changes."""
        trouble, unforeseen = None, None
        try:
            if not await self._answers():
                trouble = f"{self._what} {self._looked.name} does not answer: check that it is running."
        except (StoreError, SetupError) as error:
            trouble = str(error)
        except Exception as error:  # any error: without further checks, the last result would stand
            trouble = f"{self._what} {self._looked.name} cannot be checked ({type(error).__name__})."
            unforeseen = error
        if trouble not in (None, self.trouble):
            logger.error("%s", trouble, exc_info=unforeseen)
        elif trouble is None and self.trouble is not None:
            logger.info("%s %s can be used again.", self._what, self._looked.name)
        self.trouble = trouble

    async def _answers(self) -> bool:
        """Return True if the check succeeds in time. A late check is cancelled without waiting for the cancellation.

        A database driver cancels by a request to the same server, which may be frozen.
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
    """Check something once, then periodically."""
    watch = Watch(looked, what, patience=patience)

    async def run() -> None:
        while True:
            await asyncio.sleep(every)
            await watch.look()

    await watch.look()
    async with background_task(run(), f"watch {looked.name}"):
        yield watch


LIMIT: Final = 30.0  # maximum difference of clocks, in seconds

_CALLED: Final = {"store": "the store's", "temporal": "Temporal's"}


class OffsetSource(Protocol):
    """The store, or a worker's view of Temporal."""

    @property
    def clock_offset(self) -> float | None: ...


class ClockCheck:
    """Compares this machine's clock with others. Makes no call: other checks measure the offsets.

    Receivers reject a message whose signature was made at a wrong time.
    """

    name = "of this machine"

    def __init__(self, others: Mapping[str, OffsetSource]) -> None:
        self.others = dict(others)
        self._reported: dict[tuple[str, bool], str] = {}

    async def check(self) -> None:
        """Raise ClockWrong if a difference exceeds `LIMIT`. The message keeps the offset that was seen first."""
        wrong = {(of, seconds > 0): seconds for of, seconds in self.read() if abs(seconds) > LIMIT}
        self._reported = {of: self._reported.get(of) or _sentence(*of, seconds) for of, seconds in wrong.items()}
        for sentence in self._reported.values():
            raise ClockWrong(sentence)

    def is_right(self) -> bool:
        """Return False if this machine's clock differs by more than `LIMIT` from all known others.

        If it differs from one of two, that one is wrong, and every process would see the same.
        """
        offsets = [abs(seconds) for _, seconds in self.read()]
        return not offsets or min(offsets) <= LIMIT

    def server_time(self) -> datetime:
        """Return the time by Temporal's clock, else by the store's, else by this machine's, in UTC."""
        seen = dict(self.read())
        return datetime.now(UTC) - timedelta(seconds=seen.get("temporal", seen.get("store", 0.0)))

    def read(self) -> list[tuple[str, float]]:
        seen = {of: other.clock_offset for of, other in self.others.items()}
        return [(of, offset) for of, offset in seen.items() if offset is not None]

    @asynccontextmanager
    async def watching(self) -> AsyncGenerator[Watch]:
        """Compare periodically, and measure the offsets."""
        with metrics.CLOCK_OFFSET.reading(lambda: [((of,), seconds) for of, seconds in self.read()]):
            async with watching(self, "The clock") as watch:
                yield watch


def _sentence(of: str, ahead: bool, seconds: float) -> str:
    return (
        f"The clock of this machine is {abs(seconds):,.0f} s {'ahead of' if ahead else 'behind'} {_CALLED[of]}: "
        "have both set by NTP."
    )


Certificates = Mapping[tuple[str, str | None], bytes | str]
"""Use (`client` or `ca`, or that of Temporal or the mail server) and destination → PEM, or the path of its file."""

TRUSTED: Final = ("ca", "temporal_ca", "smtp_ca")  # uses with files of several authorities, of which one suffices


def temporal_certificates(client: Client) -> Certificates:
    """Return the certificates of a connection to Temporal. Later changes of their files are not seen."""
    tls = client.service_client.config.tls
    if not isinstance(tls, TLSConfig):
        return {}
    found = {("temporal_client", None): tls.client_cert, ("temporal_ca", None): tls.server_root_ca_cert}
    return {use: pem for use, pem in found.items() if pem is not None}


def measuring_certificates(certificates: Callable[[], Certificates]) -> AbstractContextManager[None]:
    """Measure the remaining validity of certificates, which are read at each scrape."""
    unusable = set[tuple[str, str | None]]()

    def rows() -> metrics.Rows:
        for (use, destination), given in certificates().items():
            try:
                pem = given if isinstance(given, bytes) else Path(given).read_bytes()
                ends = [one.not_valid_after_utc for one in load_pem_x509_certificates(pem)]
                # With the first of a chain, or with the last of several authorities.
                end = max(ends) if use in TRUSTED else min(ends)
            except (OSError, ValueError) as error:
                if (use, destination) not in unusable:
                    logger.warning(
                        "the certificate %s of %s cannot be measured (%s)", use, destination, type(error).__name__
                    )
                unusable.add((use, destination))
            else:
                yield (use, destination), (end - datetime.now(UTC)).total_seconds()

    return metrics.CERTIFICATE_LEFT.reading(rows)


def measuring_keys(settings: Settings) -> AbstractContextManager[None]:
    """Measure the names of the keys that this process has."""
    names = key_names(settings)
    return metrics.KEY.reading(lambda: [(name, 1.0) for name in names])
