"""Processes that check and preview scenarios, so that none can block the gateway, fill its memory or end it.

Templates are bounded (`scenario.liquid`), and so is a scenario; but a large one of two hundred steps may well take
seconds, and Python does nothing else meanwhile. So a process of its own does it, which is ended where that takes long.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any, Final

from gateway.authoring.turns import Turns
from gateway.authoring.work import DONE, LENGTH, READY, Setup
from gateway.errors import BadInput, MistakenEntry, Refusal

logger = logging.getLogger("gateway")

SECONDS: Final = 10.0
"""That one request may take, once there is a process."""
PROCESSES: Final = 2
"""How many there are at most, each started when it is needed first."""
WAITING: Final = 3
"""How many requests of one key may wait, while another of it is answered."""
TOGETHER: Final = 40
"""How many requests of all keys may wait."""

_PROGRAM: Final = "import sys; sys.path[:] = {path!r}; from gateway.authoring.work import serve; serve()"
_KEPT: Final = ("LD_LIBRARY_PATH",)


class Authoring:
    """Checks and previews scenarios in processes of their own. They end with this one, however that ends.

    Args:
        setup: What of the settings they depend on.
        seconds: See `SECONDS`.
    """

    def __init__(self, setup: Setup, *, seconds: float = SECONDS) -> None:
        self._setup, self._seconds = setup.as_json(), seconds
        self._idle = [_Process() for _ in range(PROCESSES)]
        self._turns = Turns(PROCESSES, waiting=WAITING, together=TOGETHER)

    async def check(
        self, key: str, source: str, files: Mapping[str, str] | None = None, name: str = ""
    ) -> dict[str, Any]:
        """Checks a scenario.

        Args:
            key: The API key that asks.
            source: YAML.
            files: The texts that it refers to, by their paths.
            name: How findings name it.

        Returns:
            ``{"findings", "document"}``; the document is None where a finding is an error.

        Raises:
            BadInput: It takes too long, or too much memory.
            Busy: Too many ask at once.
        """
        request = {"do": "check", "source": source, "files": dict(files or {}), "name": name}
        return json.loads(await self._ask(key, request))

    async def preview(self, key: str, request: Mapping[str, Any]) -> bytes:
        """What a scenario would send to a contact.

        Args:
            key: The API key that asks.
            request: See `gateway.authoring.work`.

        Returns:
            JSON, in UTF-8: what `gateway.preview.report.report` makes, and the check's ``findings``.

        Raises:
            MistakenEntry: The entry is wrong.
            BadInput: The entry does not go with the scenario, or it takes too long, or too much memory.
            Busy: Too many ask at once.
        """
        return await self._ask(key, {"do": "preview", **request})

    async def sample(self, key: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """An entry to begin with, made up.

        Args:
            key: The API key that asks.
            request: The scenario, as a preview takes it.

        Returns:
            ``{"entry", "findings"}``; the entry is None where none was found, or a finding is an error.

        Raises:
            BadInput: The scenario cannot be read, or it takes too long, or too much memory.
            Busy: Too many ask at once.
        """
        return json.loads(await self._ask(key, {"do": "sample", **request}))

    async def close(self) -> None:
        """Ends its processes. They start again where somebody asks all the same."""
        await asyncio.gather(*(asyncio.to_thread(process.end) for process in self._idle))

    async def _ask(self, key: str, request: Mapping[str, Any]) -> bytes:
        async with self._turns.turn(key):
            data = json.dumps({**request, "with": self._setup}).encode()
            process = self._idle.pop()
            try:
                await asyncio.to_thread(process.start)
                return await _within(self._seconds, process, data)
            finally:
                try:
                    if process.ended:  # the key that has ended it waits until it is there again, and no other key
                        with suppress(RuntimeError):
                            await asyncio.to_thread(process.start)
                finally:
                    self._idle.append(process)


async def _within(seconds: float, process: _Process, data: bytes) -> bytes:
    """An answer, or the end of the process: also where nobody waits for the answer any more."""
    asking = asyncio.ensure_future(asyncio.to_thread(process.ask, data))
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
        raise MistakenEntry(said, at=at, meant=refused["meant"]) if at else BadInput(said)
    return told[1:]


class _Process:
    """One such process: started when it is needed first, and again when a request has ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._forgotten: weakref.finalize[..., _Process] | None = None

    @property
    def ended(self) -> bool:
        """Return True if it is not running."""
        return self._process is None or self._process.poll() is not None

    def start(self) -> None:
        """Makes sure that there is one; in a thread.

        Raises:
            RuntimeError: It could not be started.
        """
        if not self.ended:
            return
        self.end()
        self._process = subprocess.Popen(  # noqa: S603 - the words are ours
            [sys.executable, "-I", "-c", _PROGRAM.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # No secrets; only where a Python finds its own libraries.
            env={name: os.environ[name] for name in _KEPT if name in os.environ},
        )
        self._forgotten = weakref.finalize(self, _end_apart, self._process)
        if _pipes(self._process)[1].read(len(READY)) != READY:
            raise RuntimeError("the process that checks scenarios could not be started")  # it has said why itself

    def ask(self, data: bytes) -> bytes:
        """Gives it a request and waits for the answer; in a thread, after `start`.

        Raises:
            BadInput: A limit ended it.
            RuntimeError: A mistake in it did.
        """
        if self._process is None:
            raise AssertionError
        asked, told = _pipes(self._process)
        with suppress(BrokenPipeError):
            asked.write(len(data).to_bytes(LENGTH, "big") + data)
            asked.flush()
        answer = told.read(int.from_bytes(told.read(LENGTH), "big"))
        if not answer:
            self.end()
            logger.warning("a process that checks scenarios ended (%s)", self._process.returncode)
            if self._process.returncode == 1:
                raise RuntimeError("a scenario could not be checked or previewed")
            raise BadInput("this takes too much memory: make the scenario smaller")
        return answer

    def end(self) -> None:
        """Ends it, where there is one, and waits for its end; in a thread."""
        if self._process is not None and self._forgotten is not None and self._forgotten.detach():
            _end(self._process)

    def kill(self) -> None:
        """Ends it in the middle of a request."""
        if self._process is not None:
            self._process.kill()


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise AssertionError
    return process.stdin, process.stdout


def _end_apart(process: subprocess.Popen[bytes]) -> None:
    """Ends one that nobody has any more: what collects garbage may be a workflow's thread, which must not wait."""
    try:
        threading.Thread(target=_end, args=(process,), daemon=True).start()
    except RuntimeError:  # the interpreter ends
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends it by closing its input, and forgets it."""
    asked, told = _pipes(process)
    with suppress(BrokenPipeError):
        asked.close()
    told.close()
    process.wait()
