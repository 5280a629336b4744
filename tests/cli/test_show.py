"""Looking at journeys, deliveries and everything that runs, for people and for programs."""

import time
from dataclasses import replace

import pytest

from cli import journey_text
from service.journeys.snapshot import JourneySnapshot
from tests.cli.conftest import Client, Run, Stored
from tests.cli.samples import ATTEMPTS, LISTED, STATS, TRENDS, WHY
from tests.journey import HELD, PROGRESS, START

pytestmark = pytest.mark.usefixtures("paris")


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
