"""Many entries: one a line, so many at a time, with progress on a terminal."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final

from gateway.abreast import Abreast
from gateway.cli import session
from gateway.cli.entering import UNADMITTED, remark
from gateway.cli.progress import progress
from gateway.cli.reading import Line, count, lines, named, opened, parse
from gateway.cli.screen import dump, note, say
from gateway.errors import Refusal

if TYPE_CHECKING:
    from gateway.client import ScenarioClient

ENTERING: Final = 20
"""Entries on their way at the same time. A single server takes some hundreds a second; more would only queue there."""

WAITING: Final = 500
"""Journeys that ``--wait`` waits for at the same time."""

_SETTLE: Final = 5.0
UNPLACED: Final = "contact.timezone cannot be used, and the scenario's is: 'scenario show JOURNEY' says why"


@dataclass
class Tally:
    """How it went."""

    entered: int = 0
    already: int = 0
    refused: int = 0
    unadmitted: int = 0
    unplaced: int = 0

    def __str__(self) -> str:
        parts = [f"{self.entered} entered"]
        parts += [f"{self.already} under way already"] if self.already else []
        parts += [f"{self.refused} not entered"] if self.refused else []
        return ", ".join(parts)


@dataclass
class Bulk:
    """One run over a file of entries.

    Attributes:
        client: Lets contacts in.
        name: What the file is called.
        wait: Whether to wait for results.
        advance: Moves the progress bar.
    """

    client: ScenarioClient
    name: str
    wait: bool
    advance: Any
    tally: Tally = field(default_factory=Tally)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ENTERING))

    async def run(self, file: IO[bytes]) -> None:
        """Enters line after line.

        Raises:
            SetupError: The server went away.
            StoreError: The store did.
        """
        async with Abreast(WAITING if self.wait else ENTERING) as entries:
            async for line in lines(file, self.name):
                await entries.place()
                if entries.broken:
                    break
                entries.start(self._one(line))

    async def _one(self, line: Line) -> None:
        """Enters one. A refusal is said and counted; what concerns all of them ends the run."""
        try:
            entry = parse(line.content, self.name, line=line.number)
            async with self.turns:
                # Where nobody admits, one is waited for and the others are not.
                settle = 0.0 if self.tally.unadmitted else _SETTLE
                entered = await self.client.enter(entry, settle=settle)
            self.tally.already += entered.already
            self.tally.entered += not entered.already
            self.tally.unplaced += bool(entered.unplaced) and not self.wait  # said by itself then
            if not entered.admitted:
                self.tally.unadmitted += 1
            elif self.wait:
                remark(entered)
            if self.wait:
                dump({"id": entered.id, **await entered.result()}, indent=None)
            else:
                say(entered.id)
        except Refusal as error:
            self.tally.refused += 1
            said = str(error)
            note(f"scenario: {said}" if f"line {line.number} " in said else f"scenario: line {line.number}: {said}")
        finally:
            self.advance()


async def enter_all(source: str, *, wait: bool) -> int:
    """Enters every line of a file.

    Args:
        source: Its path; ``-`` is standard input.
        wait: Print results instead of ids.

    Returns:
        The exit status: 1 where one was not entered, or failed.

    Raises:
        BadInput: The file cannot be read.
        SetupError: There is no server, or it went away.
        StoreError: The store cannot be used.
    """
    async with AsyncExitStack() as stack:
        total = count(source)
        file = stack.enter_context(opened(source))
        client = await stack.enter_async_context(session.connected())
        advance = stack.enter_context(progress("entering", total))
        bulk = Bulk(client, named(source), wait, advance)
        await bulk.run(file)
    if bulk.tally.unadmitted:
        note(f"scenario: {bulk.tally.unadmitted} of them: {UNADMITTED}")
    if bulk.tally.unplaced:
        note(f"scenario: {bulk.tally.unplaced} of them: {UNPLACED}")
    note(f"scenario: {bulk.tally}")
    return 1 if bulk.tally.refused else 0
