"""The keys of `--format json`, which are a contract: a snapshot of what commands print about samples."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from gateway.why.story import told
from gateway.why.why import CapPlaces, WhyView
from runtime.store import Closure, Store
from tests.gateway.cli.conftest import Client, Run, Stored
from tests.gateway.cli.test_show import LISTED, PENDING
from tests.gateway.cli.test_stats import FOUND
from tests.gateway.journey import ENTRY, HELD, PROGRESS, START, attempt
from workflows.state import IgnoredInput

SNAPSHOT: Final = Path(__file__).with_name("json.json")
ATTEMPT: Final = attempt("hook", 1, response="slow\ndown", trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
PAUSE: Final = {"name": "pause", "operator": "ann", "reason": "sale", "at": START.isoformat(), "step": "hook"}
FULL: Final = replace(
    HELD,
    pending=(
        PENDING.model_copy(update={"next_try_at": START, "last_failure": "it answered 503", "gives_up_at": START}),
    ),
    entry=replace(ENTRY, goal_until=START, reached_at=START, goal_value="49.9"),
    progress={
        **PROGRESS,
        "moves_to": "a@4",
        "rounds": [{"step": "again", "round": 1, "of": 3}],
        "operations": [*PROGRESS["operations"], PAUSE],
        "passed_over": [asdict(IgnoredInput(what="event", reason="too large", at=START.isoformat(), count=4))],
    },
)
OVER: Final = replace(
    HELD,
    status="completed",
    progress=None,
    result={"outcome": "exited", "reason": "event order.returned", "steps": PROGRESS["steps"]},
    entry=replace(ENTRY, ended_at=START + timedelta(days=1), outcome="exited"),
)


@pytest.mark.usefixtures("paris")
def test_what_commands_print_for_programs_is_that_of_the_snapshot(run: Run, client: Client, stored: Stored):
    """Run with SCENARIO_WRITE_SHAPE=1 to accept a deliberate change."""

    async def fill(store: Store) -> None:
        failed = replace(ATTEMPT, status=None, error="connect_refused", next_try_at=START, milliseconds=7)
        await store.record([ATTEMPT, replace(failed, attempt=2)])
        await store.publish("sale", {}, {}, "d1", "ann", journeys="follow")
        await store.close_scenario(Closure("sale", START, "bob", "it is over"))

    stored(fill)
    client.views = {"a/7/K1": FULL, "a/8": OVER}
    client.found, client.numbers = [LISTED], FOUND
    caps = (
        CapPlaces(cap="day", taken=1, at_most=1, per="day", free_at=START),
        CapPlaces(cap="week", taken=3, at_most=4, per="7d", free_at=None),
    )
    client.answered = WhyView(
        contact="7",
        step="hook",
        answer="Not yet.",
        entries=[told(FULL, ENTRY), told(OVER, ENTRY)],
        caps=[*caps],
        zone=ZoneInfo("UTC"),
    )
    commands = ("show a/7/K1", "show a/8", "list", "list --held", "stats sale", "why 7", "deliveries", "versions")
    printed: dict[str, Any] = {line: run(*line.split(), "--format", "json").json for line in commands}
    printed["versions"][0]["published_at"] = "now"
    if os.environ.get("SCENARIO_WRITE_SHAPE"):
        SNAPSHOT.write_text(json.dumps(printed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    snapshot = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    for line in commands:
        assert printed[line] == snapshot[line], line
