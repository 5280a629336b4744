"""Looking at journeys, deliveries and everything that runs, for people and for programs."""

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.cli import journey_text
from gateway.journeys.snapshot import DeliveryStatus, JourneySnapshot
from tests.gateway.cli.conftest import Client, Run, Stored
from tests.gateway.cli.samples import (
    ATTEMPTS,
    DUE,
    LISTED,
    PAUSE,
    PENDING,
    STATS,
    TRENDS,
    WHY,
)
from tests.gateway.journey import ENTRY, HELD, PROGRESS, START, attempt

pytestmark = pytest.mark.usefixtures("paris")


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without what is empty."""
    return [line.split() for line in text.splitlines() if line.strip() and "──" not in line]


RUNNING: dict[str, Any] = {"state": "running", "at": "hook", "since": "2026-03-31T08:05:00+00:00", "steps": []}
TURNED_AWAY = DeliveryStatus(
    step="hook",
    state="scheduled",
    attempt=3,
    next_try_at=DUE,
    turned_away="breaker_open",
    why="hooks.example.com has failed too often",
)
LINES: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"progress": {**PROGRESS, "operations": [PAUSE]}},
        [
            "decide with: scenario retry|skip|leave a/7/K1 --reason …",
            "paused as well since 2026-03-31 11:30:00 by ann: sale",
            "resume it with: scenario resume a/7/K1 --reason …",
        ],
    ),
    ({"entry": replace(ENTRY, goal_until=DUE)}, ["goal not reached; it counts until 2026-03-31 11:30:00"]),
    ({"earlier": True}, ["only the newest 3 attempts are shown: see 'scenario deliveries a/7/K1 --limit 10000'"]),
    (
        {"progress": None, "state": "waiting", "step": "hook"},
        ["waiting at hook", "no worker answers: this is the last recorded state"],
    ),
    (
        {"progress": RUNNING, "pending": (PENDING,)},
        [
            "hook is tried next at 2026-03-31 11:30:00, pauses from 4.8s × 3 to 6h, at most 9 attempts, "
            "gives up 2026-04-03 10:05:00"
        ],
    ),
    (
        {"progress": RUNNING, "pending": (TURNED_AWAY,), "attempts": ()},
        ["hook: hooks.example.com has failed too often", "hook is tried next at 2026-03-31 11:30:00"],
    ),
]


@pytest.mark.parametrize(("changed", "lines"), LINES, ids=[lines[-1][:30] for _, lines in LINES])
def test_show_prints_a_line_for_each_circumstance(run: Run, client: Client, changed: dict[str, Any], lines: list[str]):
    client.views["a/7/K1"] = HELD
    assert not set(lines[-1:]) & set(run("show", "a/7/K1").out.splitlines())
    client.views["a/7/K1"] = replace(HELD, **changed)
    shown = run("show", "a/7/K1").out.splitlines()
    assert [line for line in shown if line in lines] == lines


def test_a_next_attempt_is_shown_only_if_it_is_pending(run: Run, client: Client):
    tried = [attempt("hook", 1, next_try_at=datetime(2026, 3, 31, 8, 30, tzinfo=UTC))]
    over: dict[str, Any] = {
        "status": "completed",
        "result": {"outcome": "exited", "steps": []},
        "progress": {**PROGRESS, "at": None},
    }
    pending: dict[str, Any] = {"pending": (DeliveryStatus(step="hook", state="scheduled", attempt=2),)}
    for changed, is_pending in ((over, False), (pending, True)):
        client.views["a/7/K1"] = replace(HELD, attempts=tried, **changed)
        assert ("2026-03-31 10:30:00" in run("show", "a/7/K1").out) is is_pending


def test_attempts_after_a_retry_are_told_from_those_before(run: Run, client: Client):
    client.views["a/7/K1"] = replace(
        HELD,
        attempts=[
            attempt("hook", 1, response="busy"),
            attempt("hook", 2, minutes=1, response="busy"),
            attempt("hook", 1, minutes=2, response="down", channel="webhook", destination="webhook"),
        ],
    )
    lines = [" ".join(row) for row in rows(run("show", "a/7/K1").out)]
    place = lines.index("hook webhook msg_00000002000000000000000000000000")
    assert [line.partition(" 2026")[0] for line in lines[place + 2 : place + 5]] == ["1", "2", "1 again"]
    assert lines[place + 5 : place + 7] == ["try 1, 2 was answered: busy", "try 1 again was answered: down"]


def test_a_wait_ends_on_this_clock_and_on_the_scenarios(run: Run, client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    waiting = {"for": "event order.paid", "until": "2026-04-02T08:00:00+00:00"}
    client.views["a/7/K1"] = replace(HELD, progress={**PROGRESS, "state": "waiting", "waiting": waiting})
    lines = run("show", "a/7/K1").out.splitlines()
    assert lines[3] == "waits for event order.paid until 2026-04-02 08:00:00 (2026-04-02 10:00:00 Europe/Paris)"
    assert lines[-1] == "times of this machine's clock; the scenario's zone is Europe/Paris"


def test_a_finished_journey_whose_deliveries_failed_says_so(run: Run, client: Client):
    failed = LISTED.model_copy(update={"state": "finished", "reason": "2 of 2 deliveries failed"})
    found = client.shown["journeys"] = [failed, failed.model_copy(update={"reason": None})]
    assert "2 of 2 deliveries failed" in run("list").out
    assert [journey_text.state(item.state, item.reason).style for item in found] == ["bold red", "green"]


def test_what_comes_from_outside_cannot_move_the_cursor(run: Run, client: Client):
    client.views["x"] = JourneySnapshot("a/\x1b[2J[red]\u202e7", "r", "running", None, None, ())
    out = run("show", "x").out
    assert ("\x1b" in out, "a/\ufffd[2J[red]<U+202E>7" in out) == (False, True)


def test_commands_pass_on_what_is_wanted(run: Run, client: Client):
    client.shown = {"journeys": [LISTED], "held": [LISTED], "why": WHY, "stats": STATS, "trends": TRENDS}
    for line in (
        "list --held --scenario a --contact 7 --limit 3 --since 2026-03-31T10:00",
        "list --held --destination wax --reason exhausted --step hook",
        "list --since 2026-03-31T10:00:00+02:00",
        "list --scenario a --version 3 --state waiting --step pause",
        "why 7 a --step hook",
        "stats sale --version 3",
        "stats sale --by day --days 2",
    ):
        run(*line.split())
    none = {"scenario": None, "version": None, "contact": None, "step": None, "since": None, "limit": 50}
    held = {"destination": None, "reason": None}
    assert client.asked == [
        ("held", {**none, "scenario": "a", "contact": "7", "since": START, "limit": 3, **held}),
        ("held", {**none, "destination": "wax", "reason": "exhausted", "step": "hook"}),
        ("journeys", {**none, "since": START, "state": None}),
        ("journeys", {**none, "scenario": "a", "version": 3, "step": "pause", "state": "waiting"}),
        ("why", "7", "a", {"step": "hook", "since": None, "limit": 20}),
        ("stats", "sale", 3),
        ("trends", "sale", None, 2),
    ]


def test_deliveries_of_one_journey_or_destination(run: Run, stored: Stored):
    stored(lambda store: store.record(ATTEMPTS))
    for arguments, attempts in {
        "": [1, 2, 3, 4],
        "a/7/K1": [1, 2, 4],
        "--destination other.example.com": [3],
        "a/7/K1 --destination other.example.com": [],
        "--limit 1": [4],
        "--outcome delivered": [1],
        "--skipped capped": [4],
        "--contact 8": [3],
        "--delivery msg_3": [3],
        "--since 2026-03-31T10:05": [2, 3, 4],
        "--since 1m": [],
    }.items():
        found = run("deliveries", *arguments.split(), "--format", "json").json
        assert [item["attempt"] for item in found] == attempts, arguments
