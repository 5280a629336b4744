"""The time to the first byte of each page, with thousands of waiting, held and retrying journeys.

Run by hand, from the project's folder: ``python -m benchmarks.pages [JOURNEYS]`` (20,000 by default). The journeys are
copied rows of one journey of each kind: in Temporal's visibility table, in `entries` and in `deliveries`. Each page is
requested twice. ``refresh`` is the request of the page's script. Sizes are those of compressed responses. At the end,
the bench lists the kinds of pages that it did not request.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.stops import say
from cli.local.stack import LocalStack, local
from gateway.pages.app import ROUTES
from runtime.process.shutdown import exit_process
from runtime.process.workers import tune_garbage_collection
from runtime.store.batches import StoredBatch
from runtime.store.campaigns import CampaignItem, StoredCampaign
from scenario.words import Operation
from service.caller import TERMINAL
from service.view import PageRequest

SCENARIO: Final = """
scenario: NAME
trigger: segment
steps:
  - wait: WAIT
  - webhook: hook
    url: https://NAME.example.com/hook
    body: {contact: "{{ contact.id }}"}
"""
KINDS: Final = {"parked": ("30d", 0.7), "refused": ("1s", 0.2), "outage": ("1s", 0.1)}
"""Scenarios: the length of the wait, and the share of all journeys."""
PAGES: Final = (
    *("/", "/scenarios", "/scenarios/parked", "/scenarios/refused", "/scenarios/outage/results"),
    *(
        "/scenarios/outage/trends",
        "/scenarios/outage/trends?days=90",
        "/scenarios/parked/pause",
        "/scenarios/parked/close",
    ),
    *("/scenarios/parked/move", "/scenarios/-/publish", "/preview", "/preview?version=outage@1&step=hook"),
    *("/journeys", "/journeys?scenario=parked", "/journeys?scenario=parked&step=wait-1&state=waiting"),
    *("/journeys?state=held", "/journeys?state=retrying", "/journeys?state=paused", "/journeys?state=finished"),
    *("/journeys?since=2h&until=1m", "/journeys?sort=started", "/journeys?scenario=parked&sort=-ended"),
    *("/journeys/refused/0", "/journeys/parked/0", "/find?id=7"),
    *("/contacts/0", "/contacts/0?since=all&why=outage/hook", "/erase?contact=0", "/erasures"),
    *("/held", "/held?scenario=refused", "/held/operation?operation=retry&destination=refused.example.com"),
    *("/operations", "/operations?scenario=parked&since=1h", "/operations/OPERATION"),
    *(
        "/deliveries",
        "/deliveries?scenario=outage&step=hook&since=1d",
        "/deliveries?outcome=retry",
        "/deliveries/DELIVERY",
    ),
    *("/batches", "/batches/BATCH", "/campaigns", "/campaigns/-/new", "/campaigns/sale", "/campaigns/sale/results.csv"),
    *("/destinations", "/destinations/outage.example.com", "/destinations/retune?destination=outage.example.com"),
    *("/audiences", "/outgoing", "/contacts?id=0"),
    *(f"/scenarios/parked/{what}" for what in ("leave", "open", "resume")),
    *(f"/campaigns/sale/{what}" for what in ("pause", "resume", "retune", "start", "stop")),
    *(f"/operations/OPERATION/{what}" for what in ("resume", "stop")),
)


async def measure_page(browser: httpx.AsyncClient, path: str, **headers: str) -> tuple[float, int]:
    """Request a page. Return the seconds to the first byte, and the bytes of the response."""
    began = time.perf_counter()
    async with browser.stream("GET", path, headers={"accept-encoding": "gzip", **headers}) as answer:
        elapsed = time.perf_counter() - began
        assert answer.status_code in (200, 303, 304), (path, answer.status_code)
        return elapsed, sum([len(part) async for part in answer.aiter_raw()])


def copy_row(path: Path, table: str, workflow: str, times: int, **changed: str) -> None:
    """Copy a journey's row. Each copy has its number in place of the contact's id."""
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.row_factory = sqlite3.Row
        columns = {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}
        row = connection.execute(f"SELECT * FROM {table} WHERE workflow_id = ?", (workflow,)).fetchone()
        kept: dict[str, Any] = {name: row[name] for name in row.keys() if name in columns}  # noqa: SIM118

        def copy(number: int) -> dict[str, Any]:
            name = f"{workflow.partition('/')[0]}/{number}"
            made = {**kept, **{key: value.format(name=name, number=number) for key, value in changed.items()}}
            if "search_attributes" in made:
                known = json.loads(made["search_attributes"])
                known = {key: str(number) if value == "0" else value for key, value in known.items()}
                made["search_attributes"] = json.dumps(known)
            return made

        places = ", ".join(f":{name}" for name in kept)
        statement = f"INSERT INTO {table} ({', '.join(kept)}) VALUES ({places})"
        with connection:
            connection.executemany(statement, map(copy, range(1, times + 1)))


async def add_journeys(stack: LocalStack, folder: Path, many: int) -> None:
    """Run one journey of each kind, and copy its rows."""
    for name, (wait, _) in KINDS.items():
        path = folder / f"{name}.yaml"
        path.write_text(SCENARIO.replace("NAME", name).replace("WAIT", wait))
        await stack.client.publish(path)
        entry = {"scenario": name, "contact": {"id": 0}, "trigger": {"type": "segment"}}
        await stack.client.enter(entry)
    while len(await stack.client.held()) < 1 or not await stack.client.store.deliveries(outcome="retry"):
        await asyncio.sleep(0.1)
    await asyncio.sleep(5)  # search lags
    for name, (_, share) in KINDS.items():
        number = int(many * share)
        names = {"workflow_id": "{name}", "run_id": "{name}"}
        search = {**names, "root_workflow_id": "{name}", "root_run_id": "{name}"}
        entries = {**names, "contact_id": "{number}"}
        state = folder / "state"
        await asyncio.to_thread(copy_row, state / "temporal.db", "executions_visibility", f"{name}/0", number, **search)
        await asyncio.to_thread(copy_row, state / "store.db", "entries", f"{name}/0", number, **entries)
        if name != "parked":
            log = {**entries, "delivery_id": "msg_{name}"}
            await asyncio.to_thread(copy_row, state / "store.db", "deliveries", f"{name}/0", number, **log)


async def add_records(stack: LocalStack) -> dict[str, str]:
    """Add an operation, a batch call and a campaign. Return the ids for the placeholders in `PAGES`."""
    client, now = stack.client, datetime.now(UTC)
    asking = {"operator": "benchmark", "reason": "to be listed"}
    await client.services.operations.operate(TERMINAL, "parked/0", Operation.PAUSE, **asking, more={})
    await client.store.open_batch(
        StoredBatch(
            id="b1", scenario="outage", version=1, step="hook", delivery_id="msg_b1", created_at=now, due_at=now
        )
    )
    await client.store.add_campaign(
        StoredCampaign(
            name="sale",
            scenario="parked",
            version=1,
            file="people.csv",
            digest="0" * 64,
            rate=10.0,
            created_at=now,
            operator="benchmark",
        )
    )
    await client.store.add_campaign_items(
        "sale", [CampaignItem(line=line, contact_id=str(line)) for line in range(2, 5_002)]
    )
    (operation,) = (await client.services.operations.list(TERMINAL, PageRequest())).items
    (attempt,) = await client.store.deliveries("outage/0", outcome="retry", limit=1)  # copies have no history
    return {"OPERATION": operation.id, "BATCH": "b1", "DELIVERY": attempt.delivery_id}


def unrequested_pages() -> list[str]:
    """Return the pages without an address in `PAGES`."""
    paths = [path.partition("?")[0] for path in PAGES]
    pages = [one for one in ROUTES if "GET" in (one.methods or ())]
    missing = {one.path for one in pages if not any(one.path_regex.match(path) for path in paths)}
    return sorted(missing - {"/static/{version}/{name}", "/sign-in", "/open/{token}"})


async def main(many: int) -> None:
    """Measure all pages, and print a table."""
    fail = {"/refused.example.com/hook": (422,), "/outage.example.com/hook": (503,) * 10_000}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with local(folder / "state", fail=fail) as stack:
            await add_journeys(stack, folder, many)
            ids = await add_records(stack)
            async with httpx.AsyncClient(base_url=stack.gateway.url, timeout=120) as browser:
                tune_garbage_collection()  # like `scenario serve`
                stack.access.authors.prepare()
                await browser.post("/sign-in", data={"key": stack.access.key})
                say(f"{'first byte, ms':58}  first  later refresh  bytes refresh")
                for path in PAGES:
                    for word, identifier in ids.items():
                        path = path.replace(word, identifier)
                    first, size = await measure_page(browser, path)
                    later, _ = await measure_page(browser, path)
                    refresh, part = await measure_page(browser, path, **{"hx-request": "true"})
                    times = " ".join(f"{1000 * one:6.0f}" for one in (first, later, refresh))
                    say(f"{path:58} {times} {size:6} {part:7}")
                say(f"not requested: {', '.join(unrequested_pages())}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 20_000))
    exit_process(0)
