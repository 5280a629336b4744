"""Processes that check and preview scenarios, so that none can block the gateway, fill its memory or end it.

Templates are bounded (`scenario.liquid`), and so is a scenario; but a large one of two hundred steps may well take
seconds, and Python does nothing else meanwhile. So a process of its own does it, which is ended where that takes long.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from gateway.authoring.turns import WAITING, Turns
from gateway.authoring.work import DONE, LARGEST, Setup
from gateway.errors import BadInput, Forbidden, MistakenEntry, Refusal
from runtime.process.sandboxed import SandboxedProcess, SandboxEnded

logger = logging.getLogger("gateway")

SECONDS: Final = 10.0
"""That one request may take, once there is a process."""
PROCESSES: Final = 2
"""How many there are at most, each started when it is needed first."""
TOGETHER: Final = 40
"""How many requests of all keys may wait."""

_MODULE: Final = "gateway.authoring.work"


class Authoring:
    """Checks and previews scenarios in processes of their own. They end with this one, however that ends.

    Args:
        setup: What of the settings they depend on.
        seconds: See `SECONDS`.
    """

    def __init__(self, setup: Setup, *, seconds: float = SECONDS) -> None:
        self._setup, self._seconds = setup.as_json(), seconds
        self._idle = [SandboxedProcess(_MODULE) for _ in range(PROCESSES)]
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
            Forbidden: The caller may not use a scenario of this name.
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
            Forbidden: The caller may not use a scenario of this name.
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
                await asyncio.to_thread(_start, process)
                return await _within(self._seconds, process, data)
            finally:
                try:
                    if (
                        not process.is_running
                    ):  # the key that has ended it waits until it is there again, and no other key
                        with suppress(RuntimeError):
                            await asyncio.to_thread(_start, process)
                finally:
                    self._idle.append(process)


async def _within(seconds: float, process: SandboxedProcess, data: bytes) -> bytes:
    """Return the answer, or kill the process: on a timeout, and if the caller is cancelled."""
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
    except SandboxEnded as error:
        raise RuntimeError(f"the process that checks scenarios could not be started {error}") from None


def _request(process: SandboxedProcess, data: bytes) -> bytes:
    try:
        return process.ask(data, LARGEST)
    except SandboxEnded as error:
        logger.warning("a process that checks scenarios ended (%s)", error.status)
        if error.status == 1:
            raise RuntimeError("a scenario could not be checked or previewed") from None
        raise BadInput("this takes too much memory: make the scenario smaller") from None
