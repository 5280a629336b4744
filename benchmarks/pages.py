"""Seconds to the first byte of each page, with thousands of journeys that wait, are held, or whose delivery is retried.

Run by hand, from the project's folder: ``python -m benchmarks.pages [JOURNEYS]`` (20,000 by default). The journeys are
rows, copied from one of each kind: in Temporal's table for searches, in `entries` and in `deliveries`. Each page is
opened twice; ``refresh`` is the request of the page's script. Sizes are those of compressed answers.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.stops import say
from gateway.local.stack import LocalStack, local
from runtime.process.shutdown import exit_process

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
"""Scenarios: the length of the wait, and the share of journeys."""
PAGES: Final = (
    *("/", "/scenarios", "/scenarios/parked", "/journeys", "/journeys?scenario=parked"),
    *("/journeys?scenario=parked&step=wait-1&state=waiting", "/contacts/0", "/held"),
    "/held/operation?operation=retry&destination=refused.example.com",
    *("/operations", "/campaigns", "/deliveries", "/destinations", "/destinations/outage.example.com"),
)


async def first_byte(browser: httpx.AsyncClient, path: str, **headers: str) -> tuple[float, int]:
    """Seconds to the first byte, and the bytes that were sent."""
    began = time.perf_counter()
    async with browser.stream("GET", path, headers={"accept-encoding": "gzip", **headers}) as answer:
        elapsed = time.perf_counter() - began
        assert answer.status_code in (200, 304), (path, answer.status_code)
        return elapsed, sum([len(part) async for part in answer.aiter_raw()])


def copied(path: Path, table: str, workflow: str, times: int, **changed: str) -> None:
    """Copies a journey's row; each copy has its number in the place of the contact."""
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


async def fill(stack: LocalStack, folder: Path, many: int) -> None:
    """One journey of each kind, and its copies."""
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
        await asyncio.to_thread(copied, state / "temporal.db", "executions_visibility", f"{name}/0", number, **search)
        await asyncio.to_thread(copied, state / "store.db", "entries", f"{name}/0", number, **entries)
        if name != "parked":
            log = {**entries, "delivery_id": "msg_{name}"}
            await asyncio.to_thread(copied, state / "store.db", "deliveries", f"{name}/0", number, **log)


async def main(many: int) -> None:
    """Fills, opens, and prints."""
    fail = {"/refused.example.com/hook": (422,), "/outage.example.com/hook": (503,) * 10_000}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with local(folder / "state", fail=fail) as stack:
            await fill(stack, folder, many)
            async with httpx.AsyncClient(base_url=stack.gateway.url, timeout=120) as browser:
                await browser.post("/sign-in", data={"key": stack.access.key})
                say(f"{'first byte, ms':58}  first  later refresh  bytes refresh")
                for path in PAGES:
                    first, size = await first_byte(browser, path)
                    later, _ = await first_byte(browser, path)
                    refresh, part = await first_byte(browser, path, **{"hx-request": "true"})
                    times = " ".join(f"{1000 * one:6.0f}" for one in (first, later, refresh))
                    say(f"{path:58} {times} {size:6} {part:7}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if sys.argv[1:] else 20_000))
    exit_process(0)
