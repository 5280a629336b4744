"""Processes that check and preview scenarios, so that none can block or exhaust the gateway, and turns at them."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from gateway.authoring.work import DONE, LARGEST, Setup
from gateway.errors import BadInput, Busy, Forbidden, MistakenEntry, Refusal
from runtime.process.sandboxed import SandboxedProcess, SandboxEnded

WAITING: Final = 3  # maximum number of waiting requests of one key


def too_many_checks(count: int) -> Busy:
    """Return the refusal of a key with so many checks and previews in progress or waiting."""
    return Busy(
        f"this key has {count} checks or previews in progress or waiting: wait for their answers, then try again"
    )


class Turns:
    """Turns at a limited resource, so many at a time. Each key has one at a time. Waiting keys get turns in rotation.

    `waiting` is the maximum number of waiting requests of one key, `together` that of all keys.
    """

    def __init__(self, places: int, *, waiting: int, together: int) -> None:
        self._free, self._waiting, self._together = places, waiting, together
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}
        self._running: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncGenerator[None]:
        """Wait for a turn and hold it. Raise Busy if too many requests are waiting."""
        if self._free and not self._running[key]:
            self._begin(key)
        else:
            await self._wait(key)
        try:
            yield
        finally:
            self._end(key)

    def _begin(self, key: str) -> None:
        self._free -= 1
        self._running[key] += 1

    def _end(self, key: str) -> None:
        self._free += 1
        del self._running[key]
        self._go_on()

    def _go_on(self) -> None:
        for key, queue in list(self._queues.items()):
            if not self._free:
                return
            if self._running[key]:
                continue
            del self._queues[key]
            waiting = [waiter for waiter in queue if not waiter.done()]  # others were cancelled in this moment
            queue.clear()
            if waiting:
                queue.extend(waiting[1:])
                self._begin(key)
                waiting[0].set_result(None)
            if queue:
                self._queues[key] = queue  # at the rotation's end

    async def _wait(self, key: str) -> None:
        queue = self._queues.get(key, deque())
        if len(queue) >= self._waiting:
            raise too_many_checks(len(queue) + 1)
        if sum(map(len, self._queues.values())) >= self._together:
            raise Busy("too many keys wait for checks or previews: try again")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, queue).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter in queue:
                queue.remove(waiter)
                if not queue:
                    self._queues.pop(key, None)
            elif not waiter.cancelled():  # the turn came in the same moment
                self._end(key)
            raise


logger = logging.getLogger("gateway")
SECONDS: Final = 10.0  # maximum duration of a request, once it has a process
PROCESSES: Final = 2
"""Maximum number of processes. Each starts when it is first needed, unless `Authoring.prepare` started it."""
TOGETHER: Final = 40  # maximum number of waiting requests of all keys
_MODULE: Final = "gateway.authoring.work"


class Authoring:
    """Checks and previews scenarios in child processes, which end with this one.

    All requests raise `BadInput` if they take too much time or memory, and `Busy` if too many requests are waiting.
    `key` is the caller's API key.
    """

    def __init__(self, setup: Setup, *, seconds: float = SECONDS) -> None:
        self._setup, self._seconds = setup.as_json(), seconds
        self._idle = [SandboxedProcess(_MODULE) for _ in range(PROCESSES)]
        self._turns = Turns(PROCESSES, waiting=WAITING, together=TOGETHER)
        self._preparing: asyncio.Task[None] | None = None

    def prepare(self) -> None:
        """Start a process in the background, because a start takes half a second. A failure is that of a request."""
        self._preparing = asyncio.create_task(self._prepare())

    async def _prepare(self) -> None:
        async with self._process("") as process:
            with suppress(RuntimeError):
                await asyncio.to_thread(_start, process)

    @asynccontextmanager
    async def _process(self, key: str) -> AsyncGenerator[SandboxedProcess]:
        async with self._turns.turn(key):
            process = self._idle.pop()
            try:
                yield process
            finally:
                self._idle.append(process)

    async def check(
        self, key: str, source: str, files: Mapping[str, str] | None = None, name: str = ""
    ) -> dict[str, Any]:
        """Check a scenario called `name` in findings, with the texts of referenced files, by path.

        Return ``{"findings", "document"}``; the document is None if a finding is an error.
        """
        request = {"do": "check", "source": source, "files": dict(files or {}), "name": name}
        return json.loads(await self._ask(key, request))

    async def preview(self, key: str, request: Mapping[str, Any]) -> bytes:
        """Return `gateway.preview.contact.report` with the check's ``findings``, as JSON in UTF-8.

        Raise MistakenEntry if the entry is wrong, Forbidden if the caller may not use a scenario of this name, or
        BadInput if the entry does not fit the scenario.
        """
        return await self._ask(key, {"do": "preview", **request})

    async def sample(self, key: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return ``{"entry", "findings"}``; the entry is None if none was found or a finding is an error.

        Raise Forbidden or BadInput as `preview`.
        """
        return json.loads(await self._ask(key, {"do": "sample", **request}))

    async def render_again(self, key: str, request: Mapping[str, Any]) -> dict[str, Any]:
        return json.loads(await self._ask(key, {"do": "render", **request}))

    async def close(self) -> None:
        """End the processes. They start again with the next request."""
        if self._preparing is not None:
            await self._preparing
        await asyncio.gather(*(asyncio.to_thread(process.end) for process in self._idle))

    async def _ask(self, key: str, request: Mapping[str, Any]) -> bytes:
        async with self._process(key) as process:
            data = json.dumps({**request, "with": self._setup}).encode()
            try:
                await asyncio.to_thread(_start, process)
                return await _within(self._seconds, process, data)
            finally:
                if not process.is_running:  # only the key that ended the process waits for its restart
                    with suppress(RuntimeError):
                        await asyncio.to_thread(_start, process)


async def _within(seconds: float, process: SandboxedProcess, data: bytes) -> bytes:
    """Return the answer, or kill the process on a timeout or a cancellation."""
    asking = asyncio.ensure_future(asyncio.to_thread(_request, process, data))
    try:
        done, _ = await asyncio.wait([asking], timeout=seconds)
        if not done:
            raise BadInput(f"this takes more than {seconds:g} seconds: make the scenario smaller")
        told = asking.result()
    finally:
        if not asking.done():
            process.kill()
            with suppress(Refusal, RuntimeError):
                await asking
    if told[:1] != DONE:
        refused = json.loads(told[1:])
        said, at = refused["said"], refused["at"]
        if refused["forbidden"]:
            raise Forbidden(said)
        raise MistakenEntry(said, at=at, meant=refused["meant"]) if at else BadInput(said)
    return told[1:]


def _start(process: SandboxedProcess) -> None:
    try:
        process.start()
    except (SandboxEnded, OSError) as error:  # the latter if the system has no room for another process
        raise RuntimeError(f"the process that checks scenarios could not be started {error}") from None


def _request(process: SandboxedProcess, data: bytes) -> bytes:
    try:
        return process.ask(data, LARGEST)
    except SandboxEnded as error:
        logger.warning("a process that checks scenarios ended (%s)", error.status)
        if error.status == 1:
            raise RuntimeError("a scenario could not be checked or previewed") from None
        raise BadInput("this takes too much memory: make the scenario smaller") from None
