"""Looking at journeys and deliveries, for people and for programs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.listing import Listed
from gateway.looking import JourneyView, Pending
from runtime.store import Store
from tests.gateway.cli.conftest import Client, Run
from tests.gateway.journeys import HELD, attempt

LISTED = Listed(
    id="a/7",
    run_id="r1",
    scenario="a@3",
    contact="7",
    key=None,
    state="held",
    step="hook",
    reason="hooks.example.com answered 422",
    entered_at=datetime(2026, 3, 31, 8, 0, tzinfo=UTC),
    ended_at=None,
)


@pytest.fixture(autouse=True)
def _paris() -> Iterator[None]:
    """The machine's own zone, so that local times are the same everywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Paris")
        time.tzset()
        yield
    time.tzset()


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without what is empty."""
    return [line.split() for line in text.splitlines() if line.strip() and "──" not in line]


def test_show_tells_where_a_journey_is_and_why_it_waits(run: Run, client: Client) -> None:
    client.views["a/7/K1"] = HELD
    ran = run("show", "a/7/K1")
    assert (ran.status, ran.err) == (0, "")
    assert [" ".join(row) for row in rows(ran.out)] == [
        "a/7/K1",
        "a@3 · contact 7 · key K1 · entered 2026-03-31 10:00:00",
        "held at hook since 2026-03-31 10:20:00: hooks.example.com answered 503",
        "hooks.example.com · status 503 · 2 attempts",
        "it answered: busy: try later",
        "decide with: scenario retry|skip|leave a/7/K1 --reason …",
        "step what outcome when",
        "✓ mail email delivered 2026-03-31 10:00:01 250",
        "– pause wait 2d skipped 2026-03-31 10:05:00 skipped by ann: hurry",
        "▶ hook webhook → hooks.example.com held 2026-03-31 10:05:00",
        "· wait-3 wait for order.delivered, 7d at most to come",
        "· bye exit to come",
        "· later sms to come",
        "delivery step to try when outcome status ms error next try",
        "msg_00000001 mail email → mx.example.com 1 2026-03-31 10:00:01 delivered 250 12",
        "msg_00000002 hook webhook → hooks.example.com 1 2026-03-31 10:05:00 retry 503 12",
        "2 2026-03-31 10:10:00 failed 503 12",
        "2026-03-31 10:05:00 skip_step by ann: hurry",
        "times of Europe/Paris",
    ]


def test_show_gives_programs_the_report(run: Run, client: Client) -> None:
    client.views["a/7/K1"] = HELD
    report = run("show", "a/7/K1", "--format", "json").json
    assert report["state"] == "held"
    assert report["waiting"]["excerpt"] == "busy:\ttry\nlater"
    assert [step["id"] for step in report["steps"]] == ["mail", "pause", "hook", "wait-3", "bye", "later"]


def test_show_says_when_the_next_attempt_is_due(run: Run, client: Client) -> None:
    due = datetime(2026, 3, 31, 9, 30, tzinfo=UTC)
    progress: dict[str, Any] = {"state": "running", "at": "hook", "since": "2026-03-31T08:05:00+00:00", "steps": []}
    pending = (Pending("hook", "scheduled", 3, due, "it answered 503 (attempt 2)"),)
    client.views["a/7/K1"] = replace(HELD, progress=progress, pending=pending)
    last = rows(run("show", "a/7/K1").out)[-2]
    assert " ".join(last) == "2 2026-03-31 10:10:00 failed 503 12 2026-03-31 11:30:00"
    client.views["a/7/K1"] = replace(HELD, progress=progress, pending=pending, attempts=())
    last = rows(run("show", "a/7/K1").out)[-2]
    assert " ".join(last) == "hook 3 scheduled it answered 503 (attempt 2) 2026-03-31 11:30:00"


def test_show_says_where_no_worker_answers(run: Run, client: Client) -> None:
    client.views["a/7/K1"] = replace(HELD, progress=None, state="waiting", step="hook")
    ran = run("show", "a/7/K1")
    assert "waiting at hook\n" in ran.out
    assert "no worker answers: what follows is what is on record\n" in ran.out


def test_show_of_nothing_is_status_1(run: Run, client: Client) -> None:
    for form in ("text", "json"):
        ran = run("show", "nope", "--format", form)
        assert (ran.status, ran.out) == (1, "")
        assert ran.err == "scenario: there is no journey 'nope': 'scenario list' shows those there are\n"


def test_what_comes_from_outside_cannot_move_the_cursor(run: Run, client: Client) -> None:
    client.views["x"] = JourneyView("a/\x1b[2J[red]", "r", "running", None, None, ())
    out = run("show", "x").out
    assert "\x1b" not in out
    assert "a/\ufffd[2J[red]" in out


def test_list_shows_state_step_and_why(run: Run, client: Client) -> None:
    client.found = [LISTED]
    ran = run("list")
    assert (ran.status, ran.err) == (0, "")
    assert [" ".join(row) for row in rows(ran.out)] == [
        "journey scenario state step entered (local) why",
        "a/7 a@3 held hook 2026-03-31 10:00:00 hooks.example.com answered 422",
    ]


def test_list_gives_programs_a_list(run: Run, client: Client) -> None:
    client.found = [LISTED]
    assert run("list", "--format", "json").json == [
        {
            "id": "a/7",
            "run_id": "r1",
            "scenario": "a@3",
            "contact": "7",
            "key": None,
            "state": "held",
            "step": "hook",
            "reason": "hooks.example.com answered 422",
            "entered_at": "2026-03-31T08:00:00+00:00",
            "ended_at": None,
        }
    ]


def test_list_passes_on_what_is_wanted(run: Run, client: Client) -> None:
    client.found = [LISTED]
    run("list", "--held", "--scenario", "a", "--contact", "7", "--limit", "3")
    run("list")
    assert client.asked == [
        ("journeys", {"held": True, "scenario": "a", "contact": "7", "limit": 3}),
        ("journeys", {"held": False, "scenario": None, "contact": None, "limit": 50}),
    ]


def test_list_of_nothing_is_status_1(run: Run, client: Client) -> None:
    assert run("list") == type(run("--version"))(1, "", "no journeys\n")
    assert run("list", "--held").err == "no journey is held\n"
    ran = run("list", "--format", "json")
    assert (ran.status, ran.json) == (1, [])


@pytest.fixture
def recorded(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands beside a store with attempts."""
    due = datetime(2026, 3, 31, 8, 6, tzinfo=UTC)
    attempts = [
        attempt("mail", 1, channel="email", destination="mx.example.com", status=250, outcome="delivered"),
        attempt("hook", 1, minutes=5, status=None, error="connect_refused", next_try_at=due),
        replace(attempt("hook", 1, minutes=9), workflow_id="b/8", destination="other.example.com", delivery_id="msg_3"),
    ]
    url = f"sqlite:///{tmp_path / 'store.db'}"

    async def fill() -> None:
        async with Store.open(url) as opened:
            await opened.record(attempts)

    asyncio.run(fill())
    monkeypatch.setenv("SCENARIO_STORE", url)
    return run


def test_deliveries_are_listed_the_newest_last(recorded: Run) -> None:
    ran = recorded("deliveries")
    assert (ran.status, ran.err) == (0, "")
    assert [" ".join(row) for row in rows(ran.out)] == [
        "when (local) journey step to try outcome status ms error next try",
        "2026-03-31 10:00:01 a/7/K1 mail email → mx.example.com 1 delivered 250 12",
        "2026-03-31 10:05:01 a/7/K1 hook webhook → hooks.example.com 1 retry 12 connect_refused 2026-03-31 10:06:00",
        "2026-03-31 10:09:01 b/8 hook webhook → other.example.com 1 retry 503 12",
    ]


def test_deliveries_of_one_journey_or_destination(recorded: Run) -> None:
    def found(*arguments: str) -> list[str]:
        return [item["step"] for item in recorded("deliveries", *arguments, "--format", "json").json]

    assert found() == ["mail", "hook", "hook"]
    assert found("a/7/K1") == ["mail", "hook"]
    assert found("--destination", "other.example.com") == ["hook"]
    assert found("a/7/K1", "--destination", "other.example.com") == []
    assert found("--limit", "1") == ["hook"]


def test_deliveries_give_programs_all_fields(recorded: Run) -> None:
    assert recorded("deliveries", "b/8", "--format", "json").json == [
        {
            "delivery_id": "msg_3",
            "attempt": 1,
            "workflow_id": "b/8",
            "run_id": "r1",
            "scenario": "a",
            "version": 3,
            "step": "hook",
            "channel": "webhook",
            "destination": "other.example.com",
            "contact_id": "7",
            "started_at": "2026-03-31T08:09:01+00:00",
            "milliseconds": 12,
            "outcome": "retry",
            "status": 503,
            "error": None,
            "next_try_at": None,
            "response": None,
            "trace_id": None,
        }
    ]


def test_no_deliveries_are_no_error(recorded: Run) -> None:
    assert recorded("deliveries", "nope") == type(recorded("--version"))(0, "", "no deliveries on record\n")
