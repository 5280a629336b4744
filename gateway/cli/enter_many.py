"""Start many entries, one per line, as fast as the server accepts them, with progress on a terminal."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final

from gateway.cli import session
from gateway.cli.entry_files import Line, count, lines, named, opened, parse
from gateway.cli.output import progress
from gateway.concurrency import Concurrency
from gateway.errors import BadInput, Refusal
from gateway.terminal import dump, note, say

if TYPE_CHECKING:
    from gateway.client import ScenarioClient
    from gateway.service.entries import AdmissionWatch

ENTERING: Final = 50  # entries started at the same time. More would queue: a server accepts some hundreds per second

OPEN: Final = 10_000  # maximum number of journeys with a pending admission. Starting then waits for the workers

WAITING: Final = 500  # results that ``--wait`` awaits at the same time

UNPLACED: Final = "contact.timezone cannot be used, and the scenario's is: 'scenario show JOURNEY' says why"
UNADMITTED: Final = "no worker has processed it yet: check that one is running ('scenario dev', or worker.py)"
_LISTED: Final = 20  # journeys with an unknown admission that are listed one by one


def unadmitted(trouble: str | None) -> str:
    """Return why it is not known whether a journey was admitted: the store fails, or no worker runs."""
    if trouble is None:
        return UNADMITTED
    return "its admission is pending: " + trouble[:1].lower() + trouble[1:].removesuffix(".")


@dataclass
class EntryTally:
    """Counts of a run over a file of entries."""

    started: int = 0
    entered: int = 0
    already: int = 0
    refused: int = 0
    unplaced: int = 0
    unknown: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        parts = [f"{self.entered} entered"]
        parts += [f"{self.already} already running"] if self.already else []
        parts += [f"{self.refused} not entered"] if self.refused else []
        parts += [f"{len(self.unknown)} not known"] if self.unknown else []
        return ", ".join(parts)

    def so_far(self) -> str:
        """Return the counts as text for the progress bar."""
        return (
            f"started {self.started}, entered {self.entered + self.already}, not entered {self.refused}, "
            f"not known {len(self.unknown)}"
        )


@dataclass
class Bulk:
    """A run over a file of entries."""

    client: ScenarioClient
    name: str
    wait: bool
    tally: EntryTally
    advance: Any
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(ENTERING))

    async def run(self, file: IO[bytes]) -> None:
        """Start a journey for each line.

        Raise SetupError if the server cannot be reached, or StoreError if the store cannot be reached.
        """
        watch = self.client.watch_admissions()
        async with Concurrency(WAITING if self.wait else OPEN) as entries:
            async for line in lines(file, self.name):
                await entries.acquire()
                if entries.has_failed:
                    break
                entries.start(self._one(line, watch))

    async def _one(self, line: Line, watch: AdmissionWatch) -> None:
        """Start one journey. A refusal is reported and counted. An error that affects all entries ends the run."""
        try:
            entry = parse(line.content, self.name, line=line.number)
            async with self.turns:
                entered = await self.client.enter(entry, settle=0)
            self.tally.started += 1
            self.tally.unplaced += bool(entered.unplaced)
            known = entered.already or await watch.known(entered)
            if not known:
                self.tally.unknown.append(entered.id)
            elif entered.already:
                self.tally.already += 1
            else:
                self.tally.entered += 1
            if self.wait and known:
                dump({"id": entered.id, **await entered.result()}, indent=None)
            elif known:
                say(entered.id)
        except Refusal as error:
            self.tally.refused += 1
            where = "" if isinstance(error, BadInput) and error.line else f"line {line.number}: "
            note(f"scenario: {where}{error}")
        finally:
            self.advance()


async def enter_all(source: str, *, wait: bool) -> int:
    """Start a journey for each line of a file.

    Returns:
        The exit status: 1 if an entry was refused or failed, or its admission is not known.

    Raises:
        BadInput: The file cannot be read.
        SetupError: No server can be reached.
        StoreError: The store cannot be used.
    """
    tally = EntryTally()
    trouble: str | None = None
    try:
        async with AsyncExitStack() as stack:
            total = count(source)
            file = stack.enter_context(opened(source))
            client = await stack.enter_async_context(session.connected())
            advance = stack.enter_context(progress("entering", total, tally.so_far))
            await Bulk(client, named(source), wait, tally, advance).run(file)
            if tally.unknown:
                trouble = await client.trouble()
    except BaseException:
        if tally.started:  # to continue, a person needs the numbers
            note(f"scenario: {tally.so_far()}")
        raise
    for identifier in tally.unknown[:_LISTED]:
        note(f"scenario: {identifier}: {unadmitted(trouble)}")
    if len(tally.unknown) > _LISTED:
        note(f"scenario: … and {len(tally.unknown) - _LISTED} more")
    if tally.unplaced:
        note(f"scenario: {tally.unplaced} of them: {UNPLACED}")
    note(f"scenario: {tally}")
    return 1 if tally.refused or tally.unknown else 0
