"""The running processes of the benchmark, and the record of the run."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
from temporalio.api.common.v1 import Payload
from temporalio.service import RPCError

from benchmarks.chaos.judge import Arrival, Fault
from benchmarks.chaos.pruning import Database
from benchmarks.chaos.receivers import UnsteadyInbox, UnsteadyReceiver
from benchmarks.chaos.scenarios import STEPS, ids_of, message_step
from runtime.local.devserver import DevServer
from service.client import Entered, ScenarioClient
from tests.e2e.conftest import ROOT

WORKER_KILLED: Final = "worker killed"
DATABASE_AWAY: Final = "PostgreSQL away"
SERVER_RESTARTED: Final = "Temporal's server restarted"

EXIT_DIGIT: Final = 5
"""Last digit of the contacts that exit after their first delivery."""
OUTAGE_ENTRIES: Final = 5
"""Number of contacts that enter through the API while the database is away."""
PENDING_REQUESTS: Final = ("gone", "leave", "change")
"""Requests that are accepted while no worker runs: an exit event, an operation, a change of the contact."""
REQUEST_CONTACTS: Final = 3
"""Number of contacts for each of `PENDING_REQUESTS`."""
WORKERLESS_ENTRIES: Final = REQUEST_CONTACTS * len(PENDING_REQUESTS)
QUIET_DIGITS: Final = 8
"""Last digit of the contacts that live in quiet hours at the beginning, of the first hundred."""


@dataclass
class ChaosRun:
    """The running processes of the benchmark, and a record of the run.

    Attributes:
        number: Number of journeys.
        worker_outage: Seconds without a worker.
        database_outage: Seconds without the database.
        rows: Number of old attempts in a lot of rows to prune.
        lines: Number of lines of the campaign.
        quiet_until: End of the quiet hours of some contacts, in seconds since 1970.
        one_fault: Held by a failure that must not overlap with others.
        faults: The failures so far.
        happened: Events of the run, with the seconds from its start.
        journeys: Journeys by contact.
        left: Contacts with an accepted exit or operation to leave.
        exits: Times at which exit events of running journeys were accepted, in seconds since 1970, by contact.
        silent: Contacts that must not get any message.
        changed: Contacts with a changed first name.
        copy: Payloads of the erased contact's history, copied before the erasure.
        answered: Responses of the API, by status.
        by_command: Rows that the command pruned, by table.
        wrong: A sentence for each failed expectation.
    """

    number: int
    worker_outage: float
    database_outage: float
    rows: int
    lines: int
    folder: Path
    client: ScenarioClient
    receiver: UnsteadyReceiver
    inbox: UnsteadyInbox
    database: Database
    server: DevServer
    environ: dict[str, str]
    api: httpx.AsyncClient
    ports: list[int]
    gateway: tuple[str, ...]
    quiet_until: float
    began: float = field(default_factory=time.time)
    one_fault: asyncio.Lock = field(default_factory=asyncio.Lock)
    faults: list[Fault] = field(default_factory=list[Fault])
    happened: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    journeys: dict[str, Entered] = field(default_factory=dict[str, Entered])
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    erased: str = ""
    erasure: str = ""
    left: set[str] = field(default_factory=set[str])
    exits: dict[str, float] = field(default_factory=dict[str, float])
    silent: set[str] = field(default_factory=set[str])
    changed: set[str] = field(default_factory=set[str])
    operations: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    copy: list[Payload] = field(default_factory=list[Payload])
    answered: Counter[str] = field(default_factory=Counter[str])
    by_command: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])

    def note(self, what: str) -> None:
        """Record an event."""
        self.happened.append((time.time() - self.began, what))

    def failed(self, what: str, began: float | None = None) -> None:
        """Record a failure that began at this time, by default now, and ends now."""
        now = time.time()
        self.faults.append(Fault(what, now if began is None else began, now))
        self.note(what)

    def expect(self, condition: bool, failure: str) -> None:
        """Record a failed expectation unless the condition holds."""
        if not condition:
            self.wrong.append(failure)

    def faults_of(self, *kinds: str) -> list[Fault]:
        """Return the failures of these kinds."""
        return [fault for fault in self.faults if fault.what in kinds]

    def max_uncounted(self, seconds: float) -> int:
        """Count the responses 200 to webhooks that a killed worker may not have counted.

        Args:
            seconds: Delay of a count.
        """
        kills = self.faults_of(WORKER_KILLED)
        return sum(any(kill.began - seconds <= at <= kill.began for kill in kills) for at in self.receiver.times)

    def arrivals(self) -> dict[str, list[Arrival]]:
        """Return all messages to contacts with journeys, by delivery id."""
        found = {identifier: list(requests) for identifier, requests in self.receiver.webhooks.items()}
        found |= self.inbox.mails
        return found | self.texts()

    def texts(self) -> dict[str, list[Arrival]]:
        """Return the text messages by delivery id."""
        return {
            next(iter(ids_of(self.journeys[contact], [message_step(contact)]))): list(requests)
            for contact, requests in self.receiver.texts.items()
        }

    async def wait_for_share(self, share: float) -> None:
        """Wait until a share of the webhooks that must arrive has arrived."""
        early = sum(number % 10 == EXIT_DIGIT for number in range(1, self.early_entries + 1))
        silent = WORKERLESS_ENTRIES - REQUEST_CONTACTS
        expected = (self.number - silent) * len(STEPS) - early * (len(STEPS) - 1)
        await self.receiver.wait_for(int(expected * share))

    @property
    def early_entries(self) -> int:
        """Return the number of contacts that enter at the beginning."""
        return self.number - OUTAGE_ENTRIES - WORKERLESS_ENTRIES

    def is_quiet(self, number: int) -> bool:
        """Return True if the contact with this number lives in quiet hours at the beginning."""
        return number <= min(100, self.early_entries) and number % 10 == QUIET_DIGITS

    async def command(self, *words: str) -> tuple[int, str]:
        """Run `scenario` with these words. Return its status and output."""
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from cli import main; main()", *words),
            env=self.environ,
            cwd=ROOT,
            stdout=-1,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await started.communicate()
        assert started.returncode is not None
        return started.returncode, out.decode()

    async def command_until_done(self, *words: str, done: str = "", patience: float = 300.0) -> str:
        """Run `scenario` with these words again while a server is away. Return its output.

        Args:
            done: Part of an output that says that nothing is left to do, whatever the status.
        """
        end = time.monotonic() + patience
        while True:
            status, out = await self.command(*words)
            if status == 0 or (done and done in out):
                return out
            self.note(f"scenario {words[0]} again: {out.strip().splitlines()[-1:]}")
            if time.monotonic() > end:
                raise RuntimeError(f"scenario {words[0]} failed: {out}")
            await asyncio.sleep(2)

    async def retry(self, what: Callable[[], Awaitable[Any]], patience: float = 300.0) -> Any:
        """Call a function again while a server is away. Raise its error after `patience` seconds."""
        end = time.monotonic() + patience
        while True:
            try:
                return await what()
            except (psycopg.OperationalError, RPCError, httpx.HTTPError):
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(1)

    async def count_running(self, which: str) -> int:
        """Count the running workflows that match a query."""
        query = f"ExecutionStatus = 'Running' AND {which}"
        return (await self.retry(lambda: self.client.temporal.count_workflows(query))).count
