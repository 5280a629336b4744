"""`scenario demo`: runs the examples on a local server, and verifies that every message arrived."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from activities.channel import Arrival, LocalServers, adapter
from activities.content import LoadedVersion
from activities.evaluation import subscriber_of
from authoring.publishing import CASES
from cli.local.dev import skip_time
from cli.local.stack import LocalStack, local, until_interrupted
from runtime.errors import LocalError
from scenario.entry.admission import entry_data
from scenario.entry.entry import journey_root, parse_entry
from scenario.entry.objects import event_root
from scenario.steps.delivery import DeliveryStep, delivery_id
from scenario.time import zone_of
from service.entries import Entered

_PACKAGED: Final = Path(__file__).with_name("examples")
EXAMPLES: Final = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).resolve().parents[2] / "examples"
"""The folder beside this module if the package is installed, else at the root of the source tree."""
FAILING: Final = {"/hooks.example.com/wax/9f31": (503, 503)}  # failures of the WhatsApp provider, to show retries
_STATE: Final = Path(".scenario/demo")
HEADINGS: Final = ("when", "step", "outcome", "tries", "to", "what")
_PATIENCE: Final = 120.0


@dataclass(frozen=True)
class DemoRun:
    """The completed journey of an entry."""

    entry: dict[str, Any]
    journey: Entered
    result: dict[str, Any]
    arrivals: list[Arrival]  # its deliveries, each with whether it arrived as sent

    @property
    def sound(self) -> bool:
        return self.result["outcome"] in ("finished", "exited") and all(arrival.sound for arrival in self.arrivals)


async def demo(*, stay: bool, console: Console, examples: Path = EXAMPLES, state: Path = _STATE) -> int:
    """Run the examples, with entries under ``entries``. Return the exit status: 1 if a journey did not go as intended.

    The folder `state`, for databases, inbox and received webhooks, is emptied first.
    """
    if not (examples / "entries").is_dir():
        raise LocalError(f"the examples are not at {examples}: an installed wheel and the source tree have them")
    await asyncio.to_thread(shutil.rmtree, state, ignore_errors=True)
    say = partial(console.print, markup=True, highlight=False)
    say("Starting Temporal, an inbox, a receiver and a worker on this machine …")
    async with local(state, fail=FAILING) as place:
        for path in await asyncio.to_thread(lambda: sorted(examples.glob("*.yaml"))):
            if not path.name.endswith(CASES):
                say(f"  published {await place.client.publish(path)}")
        say("Contacts come in; waits of days are skipped …\n")
        entries = await asyncio.to_thread(lambda: sorted(examples.glob("entries/*.json")))
        runs = await run(place, entries)
        for done in runs:
            _show(say, done)
        status = _conclude(say, place, runs, stay=stay)
        if stay:
            await until_interrupted()
    return status


async def run(place: LocalStack, files: list[Path]) -> list[DemoRun]:
    """Enter the contacts of entry files and follow their journeys to the end, skipping long waits."""
    entries: list[dict[str, Any]] = [json.loads(await asyncio.to_thread(path.read_text, "utf-8")) for path in files]
    journeys = [await place.client.enter(entry) for entry in entries]
    # The parcel arrives. The event is sent before time is skipped, and kept until the journey waits for it.
    for entry in entries:
        if order := entry["trigger"].get("order"):
            await place.client.event(str(entry["contact"]["id"]), *parcel(order))
    await asyncio.gather(*(skip_time(place.client.temporal, journey.id) for journey in journeys))
    async with asyncio.timeout(_PATIENCE):
        results = await asyncio.gather(*(journey.result() for journey in journeys))
    return [
        DemoRun(entry, journey, result, await arrivals(place, entry, journey, result))
        for entry, journey, result in zip(entries, journeys, results, strict=True)
    ]


def _show(say: Callable[..., None], run: DemoRun) -> None:
    proven = {arrival.step: arrival for arrival in run.arrivals}
    zone = zone_of(run.entry["contact"].get("timezone"), "Europe/Paris")
    rows: list[tuple[str, ...]] = []
    for step in run.result["steps"]:
        arrival = proven.get(step["id"])
        good = arrival.sound if arrival else step["outcome"] not in ("failed", "unknown")
        rows.append(
            (
                f"{datetime.fromisoformat(step['at']).astimezone(zone):%Y-%m-%d %H:%M:%S}",
                step["id"],
                f"{'✓' if good else '✗'} {step['outcome']}",
                str(step.get("attempts", "")),
                arrival.to if arrival else "",
                (arrival.what if arrival.sound else arrival.problem) if arrival else "",
            )
        )
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for index, heading in enumerate(HEADINGS):
        # Only the message column is shortened on narrow terminals.
        whole = max(len(heading), *(len(row[index]) for row in rows)) if heading != "what" else None
        table.add_column(heading, min_width=whole, no_wrap=True, overflow="ellipsis")
    for row in rows:
        style = "red" if row[2].startswith("✗") else "green"
        table.add_row(*(Text(cell, style if index == 2 else "") for index, cell in enumerate(row)))
    say(f"[bold]{escape(run.journey.id)}[/]  [dim]{run.result['version']}[/]")
    say(table)
    say()


def _conclude(say: Callable[..., None], place: LocalStack, runs: list[DemoRun], *, stay: bool) -> int:
    messages = [arrival for run in runs for arrival in run.arrivals]
    arrived = sum(arrival.sound for arrival in messages)
    sound = all(run.sound for run in runs)
    color = "green" if sound else "red"
    say(f"[{color}]{len(runs)} journeys, {arrived} of {len(messages)} messages arrived as they were sent.[/]")
    say(f"Inbox: {place.inbox.folder} · webhooks: {place.inbox.folder.with_name('received')}")
    if stay:
        say(f"Pages: {place.access.pages} (signs you in)", soft_wrap=True)
        say(f"API: {place.access.api} with the key {place.access.key}", soft_wrap=True)
        say(f"Temporal's UI: {place.server.ui_url}")
        say("Ctrl-C ends it.")
    else:
        say("All of it ends here: 'scenario demo --stay' keeps the pages, the API and Temporal's UI up.")
    return 0 if sound else 1


_WRITTEN: Final = 10.0  # seconds within which an attempt is recorded, also on a busy machine


def parcel(order: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name and properties of the event that the examples await: the order's parcel has arrived."""
    return "order.delivered", {"order_id": order.get("external_id"), "carrier": "Colissimo"}


async def arrivals(
    place: LocalStack, entry: dict[str, Any], journey: Entered, result: Mapping[str, Any]
) -> list[Arrival]:
    """Find every message that a journey reports as delivered."""
    parsed = parse_entry(entry)
    name, _, version = str(result["version"]).partition("@")
    opened = await place.services.content.open(name, int(version))
    data = _data(place, opened, entry, journey.id)
    servers = LocalServers(place.inbox, place.receiver, place.services.routes)
    found: list[Arrival] = []
    for done in result["steps"]:
        step = opened.steps[done["id"]]
        if not isinstance(step, DeliveryStep):
            continue
        if done["outcome"] != "delivered":
            found.append(Arrival(done["id"], parsed.contact_id, "", f"it was not delivered: {done['outcome']}"))
            continue
        identifier = delivery_id(journey.id, journey.run_id, done["id"], 0)
        seen = {**_seen(place, opened, step, data), **await _times(place, identifier)}
        found.append(await adapter(step.channel).verify(servers, done["id"], step, seen, identifier))
    return found


async def _times(place: LocalStack, identifier: str) -> dict[str, Any]:
    """Return the times that a delivery's templates used, or nothing if they are not recorded soon."""
    end = time.monotonic() + _WRITTEN
    while time.monotonic() < end:
        for attempt in await place.services.store.deliveries(delivery_id=identifier, outcome="delivered"):
            return {} if attempt.now is None else {"now": attempt.now, "today": attempt.now[:10]}
        await asyncio.sleep(0.05)  # the log is written beside the journey
    return {}


def _seen(place: LocalStack, opened: LoadedVersion, step: DeliveryStep, data: dict[str, Any]) -> dict[str, Any]:
    unsubscribing = place.services.channels.unsubscribing
    if unsubscribing is None:
        return data
    subscriber = subscriber_of(opened.scenario, step, str(data["contact"]["id"]), data)
    made = {"unsubscribe_url": unsubscribing.url(subscriber)} if subscriber else {}
    return {**data, "journey": {**data["journey"], **made}}


def _data(place: LocalStack, opened: LoadedVersion, entry: dict[str, Any], workflow_id: str) -> dict[str, Any]:
    data = entry_data(parse_entry(entry), opened.scenario, opened.version, place.services.platform, datetime.now(UTC))
    name, properties = parcel(data.get("order") or {})
    event = event_root(name, None, properties)
    journey = journey_root(workflow_id, opened.name, opened.version, data["journey"]["entered_at"])
    return {
        **data,
        "journey": {**journey, "timezone": data["journey"]["timezone"]},
        "event": data.get("event", event),
        "secrets": place.services.secrets.snapshot(),
    }
