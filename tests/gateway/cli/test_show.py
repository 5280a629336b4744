"""Looking at journeys, deliveries and everything that runs, for people and for programs."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from activities.interface import Delivery
from activities.webhook.channel import RenderedRequest
from gateway.cli import journey_text
from gateway.journeys.rendered import RenderedDelivery
from gateway.journeys.snapshot import DeliveryStatus, JourneySnapshot
from gateway.preview.rendering import NothingToSend, RenderProblem
from gateway.service.listing import JourneySummary
from gateway.service.overview import HeldCount, MissingWorkers, OverviewView, RetryingDestination, WaitingBatches
from scenario.plan.retry import RetryPolicy
from tests.gateway.cli.conftest import Client, Run, Stored
from tests.gateway.journey import ENTRY, HELD, PROGRESS, START, attempt

LISTED = JourneySummary(
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
    destination="hooks.example.com",
    held_reason="permanent",
    since=datetime(2026, 3, 31, 8, 20, tzinfo=UTC),
    status=422,
)


ZONE = "times of this machine's clock; the scenario's zone is Europe/Paris"

pytestmark = pytest.mark.usefixtures("paris")


def rows(text: str) -> list[list[str]]:
    """The cells of a table, without what is empty."""
    return [line.split() for line in text.splitlines() if line.strip() and "──" not in line]


def test_show_tells_where_a_journey_is_and_why_it_waits(run: Run, client: Client):
    client.views["a/7/K1"] = HELD
    ran = run("show", "a/7/K1")
    assert (ran.status, ran.err) == (0, "")
    assert [" ".join(row) for row in rows(ran.out)] == [
        "a/7/K1",
        "a@3 · contact 7 · key K1 · entered 2026-03-31 10:00:00",
        "held at hook since 2026-03-31 10:20:00: hooks.example.com answered 503",
        "exhausted · hooks.example.com · status 503 · 2 attempts",
        "it answered: busy: try later",
        "decide with: scenario retry|skip|leave a/7/K1 --reason …",
        "step what outcome when",
        "✓ mail email delivered 2026-03-31 10:00:01 250 · rendered again with a@4",
        "– pause wait 2d skipped 2026-03-31 10:05:00 skipped by ann: hurry",
        "▶ hook webhook → hooks.example.com held 2026-03-31 10:05:00",
        "· wait-3 wait for order.delivered, 7d at most to come",
        "· bye exit to come",
        "· later sms to come",
        "mail email → mx.example.com msg_00000001000000000000000000000000",
        "try when outcome status ms error next try",
        "1 2026-03-31 10:00:01 delivered 250 12",
        "hook webhook → hooks.example.com msg_00000002000000000000000000000000",
        "try when outcome status ms error next try",
        "1 2026-03-31 10:05:00 retry 503 12",
        "2 2026-03-31 10:10:00 failed 503 12",
        "try 2 was answered: busy: try later",
        "2026-03-31 10:05:00 skip_step by ann: hurry",
        "2026-03-31 10:05:00 retune (retry initial_interval 1, deadline 86400) by ann: it is slow",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736",
        ZONE,
    ]


PAUSE = {"name": "pause", "operator": "ann", "reason": "sale", "at": "2026-03-31T08:30:00+00:00", "step": "hook"}
LARGE = {"what": "event", "reason": "it is larger than 256 KB", "at": "2026-03-31T08:30:00+00:00", "count": 4}
ONCE = {"what": "step wait-3", "reason": "no number", "at": "2026-03-31T08:40:00+00:00", "count": 1}
GOAL = replace(ENTRY, goal_until=datetime(2026, 4, 14, 8, tzinfo=UTC))
REACHED = replace(GOAL, reached_at=datetime(2026, 4, 1, 8, tzinfo=UTC), goal_value="49.9")
RUNNING: dict[str, Any] = {"state": "running", "at": "hook", "since": "2026-03-31T08:05:00+00:00", "steps": []}
DUE = datetime(2026, 3, 31, 9, 30, tzinfo=UTC)
POLICY = RetryPolicy(
    initial_interval=4.8, backoff_coefficient=3.0, maximum_interval=21_600, maximum_attempts=9, deadline=259_200
)
PENDING = DeliveryStatus(
    step="hook",
    state="scheduled",
    attempt=3,
    next_try_at=DUE,
    retry=POLICY,
    gives_up_at=datetime(2026, 4, 3, 8, 5, tzinfo=UTC),
)
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
            "paused as well since 2026-03-31 10:30:00 by ann: sale",
            "resume it with: scenario resume a/7/K1 --reason …",
        ],
    ),
    (
        {"progress": {**PROGRESS, "passed_over": [LARGE, ONCE]}},
        [
            "2026-03-31 10:30:00  event ignored 4 times: it is larger than 256 KB",
            "2026-03-31 10:40:00  step wait-3 ignored: no number",
        ],
    ),
    ({"entry": GOAL}, ["goal not reached; it counts until 2026-04-14 10:00:00"]),
    ({"entry": REACHED}, ["goal reached 2026-04-01 10:00:00, worth 49.9"]),
    ({"progress": {**PROGRESS, "moves_to": "a@4"}}, ["continues in a@4 after its current delivery"]),
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


def test_what_was_sent_is_rendered_again_and_that_is_said(run: Run, client: Client, monkeypatch: pytest.MonkeyPatch):
    request = RenderedRequest("POST", "https://hooks.example.com/7", {"authorization": "Bearer ~~TOKEN~~"}, b'{"a":1}')
    delivery = Delivery(id="msg_1", scenario="a@3", step="hook", contact="7", now="2026-03-31T10:00:00+02:00")
    at = datetime(2026, 3, 31, 8, tzinfo=UTC)
    made = [
        RenderedDelivery(delivery, at, result)
        for result in (request, NothingToSend("no number"), RenderProblem("no, no"))
    ]

    async def rendered(*given: Any) -> list[RenderedDelivery]:
        assert given[3] == "hook"
        return made

    monkeypatch.setattr("gateway.service.journeys.rendered", rendered)
    client.views["a/7/K1"], client.temporal, client.store = HELD, None, None
    ran = run("show", "a/7/K1", "--rendered", "hook")
    assert ran.err.startswith("rendered again from the journey's data, not a copy: secrets are masked")
    assert [" ".join(row) for row in rows(ran.out)] == [
        "msg_1 a@3 2026-03-31 10:00:00",
        "│ POST https://hooks.example.com/7",
        "│ authorization: Bearer ~~TOKEN~~",
        "│ and of each attempt: webhook-timestamp, traceparent",
        "│ ─ body, 7 bytes",
        '│ {"a":1}',
        "msg_1 a@3 2026-03-31 10:00:00",
        "nothing to send: no number",
        "msg_1 a@3 2026-03-31 10:00:00",
        "✗ no, no",
    ]
    told = run("show", "a/7/K1", "--rendered", "hook", "--format", "json").json
    assert told["deliveries"][0]["request"]["body"] == '{"a":1}'
    assert [set(item) - {"delivery_id", "scenario", "scheduled_at", "now"} for item in told["deliveries"]] == [
        {"request"},
        {"skipped"},
        {"error"},
    ]


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
    client.found = [failed, failed.model_copy(update={"reason": None})]
    assert "2 of 2 deliveries failed" in run("list").out
    assert [journey_text.state(item.state, item.reason).style for item in client.found] == ["bold red", "green"]


def test_what_comes_from_outside_cannot_move_the_cursor(run: Run, client: Client):
    client.views["x"] = JourneySnapshot("a/\x1b[2J[red]\u202e7", "r", "running", None, None, ())
    out = run("show", "x").out
    assert "\x1b" not in out
    assert "a/\ufffd[2J[red]<U+202E>7" in out


def test_list_shows_state_step_and_why_and_of_held_ones_the_destination(run: Run, client: Client):
    client.found = [LISTED]
    assert [" ".join(row) for row in rows(run("list").out)] == [
        "journey scenario state step entered (local) why",
        "a/7 a@3 held hook 2026-03-31 10:00:00 hooks.example.com answered 422",
    ]
    ran = run("list", "--held")
    assert (ran.status, ran.err) == (0, "")
    assert [" ".join(row) for row in rows(ran.out)] == [
        "journey scenario step destination reason since (local) status why",
        "a/7 a@3 hook hooks.example.com permanent 2026-03-31 10:20:00 422 hooks.example.com answered 422",
    ]


def test_list_passes_on_what_is_wanted(run: Run, client: Client):
    client.found = [LISTED]
    at = datetime(2026, 3, 31, 8, tzinfo=UTC)
    run("list", "--held", "--scenario", "a", "--contact", "7", "--limit", "3", "--since", "2026-03-31T10:00")
    run("list", "--held", "--destination", "wax", "--reason", "exhausted", "--step", "hook")
    run("list", "--since", "2026-03-31T10:00:00+02:00")
    run("list", "--scenario", "a", "--version", "3", "--state", "waiting", "--step", "pause")
    none = {"scenario": None, "version": None, "contact": None, "step": None, "since": None, "limit": 50}
    held = {"destination": None, "reason": None}
    assert client.asked == [
        ("held", {**none, "scenario": "a", "contact": "7", "since": at, "limit": 3, **held}),
        ("held", {**none, "destination": "wax", "reason": "exhausted", "step": "hook"}),
        ("journeys", {**none, "since": at, "state": None}),
        ("journeys", {**none, "scenario": "a", "version": 3, "step": "pause", "state": "waiting"}),
    ]


def test_list_of_nothing_is_status_1(run: Run, client: Client):
    assert run("list") == type(run("--version"))(1, "", "no journeys\n")
    assert run("list", "--contact", "7").err == "no journey that matches\n"
    assert run("list", "--held").err == "no journey is held\n"
    assert run("list", "--held", "--destination", "wax").err == "no journey is held that matches\n"
    ran = run("list", "--format", "json")
    assert (ran.status, ran.json) == (1, [])


@pytest.fixture
def recorded(run: Run, stored: Stored) -> Run:
    due = datetime(2026, 3, 31, 8, 6, tzinfo=UTC)
    other = attempt("hook", 1, minutes=9, response=f"slow\n{'down ' * 50}", trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
    attempts = [
        attempt("mail", 1, channel="email", destination="mx.example.com", status=250, outcome="delivered"),
        attempt("hook", 1, minutes=5, status=None, error="connect_refused", next_try_at=due),
        replace(other, workflow_id="b/8", destination="other.example.com", delivery_id="msg_3", contact_id="8"),
    ]
    stored(lambda store: store.record(attempts))
    return run


def test_deliveries_are_listed_the_newest_last(recorded: Run):
    ran = recorded("deliveries")
    assert (ran.status, ran.err) == (0, "")
    assert [" ".join(row) for row in rows(ran.out)] == [
        "when (local) journey step to try outcome status ms error next try",
        "2026-03-31 10:00:01 a/7/K1 mail email → mx.example.com 1 delivered 250 12",
        "2026-03-31 10:05:01 a/7/K1 hook webhook → hooks.example.com 1 retry 12 connect_refused",
        "2026-03-31 10:09:01 b/8 hook webhook → other.example.com 1 retry 503 12",
        "delivery try trace answer",
        f"msg_3 1 4bf92f3577b34da6a3ce929d0e0e4736 slow {'down ' * 13}d…",
    ]


def test_deliveries_of_one_journey_or_destination(recorded: Run):
    def found(*arguments: str) -> list[str]:
        return [item["step"] for item in recorded("deliveries", *arguments, "--format", "json").json]

    assert found() == ["mail", "hook", "hook"]
    assert found("a/7/K1") == ["mail", "hook"]
    assert found("--destination", "other.example.com") == ["hook"]
    assert found("a/7/K1", "--destination", "other.example.com") == []
    assert found("--limit", "1") == ["hook"]
    assert found("--outcome", "delivered") == ["mail"]
    assert found("--contact", "8") == ["hook"]
    assert found("--delivery", "msg_3") == ["hook"]
    assert found("--since", "2026-03-31T10:05") == ["hook", "hook"]
    assert found("--since", "1m") == []


def test_no_deliveries_are_no_error(recorded: Run):
    assert recorded("deliveries", "nope") == type(recorded("--version"))(0, "", "no deliveries on record\n")


def test_skipped_deliveries_are_found_by_why(run: Run, stored: Stored):
    rows = [("skipped", "capped"), ("skipped", "expired"), ("failed", None)]
    made = [attempt("hook", n, outcome=outcome, error=word) for n, (outcome, word) in enumerate(rows)]
    stored(lambda store: store.record(made))
    found = run("deliveries", "--skipped", "capped", "--format", "json").json
    assert [(item["outcome"], item["error"]) for item in found] == [("skipped", "capped")]


WELL = OverviewView(
    at=START,
    well=True,
    in_progress=3,
    held=[],
    retrying=[],
    missing_workers=[],
    campaigns=[],
    batches=WaitingBatches(),
    held_audiences=0,
    outgoing=[],
)
TROUBLE = {
    "well": False,
    "held": [HeldCount(cause="permanent", journeys=1_000), HeldCount(cause=None, journeys=1)],
    "retrying": [
        RetryingDestination(destination="wax", deliveries=2, since=START, paused=True, why="wax answered 503")
    ],
    "missing_workers": [MissingWorkers(queue="email", tasks=7)],
    "batches": WaitingBatches(open=2, overdue=1, oldest_due_at=START),
}


def test_the_exit_status_tells_whether_all_is_well(run: Run, client: Client):
    client.seen = WELL
    ran = run("overview")
    assert (ran.status, ran.out) == (0, "all is well\n3 journeys in progress\n")
    client.seen = WELL.model_copy(update=TROUBLE)
    ran = run("overview")
    assert ran.status == 1
    held, other, wax, email, batches, _ = ran.out.splitlines()
    assert held == "held: 1,000 journeys, cause permanent"
    assert other == "held: 1 journey, cause other"
    assert wax.startswith("left alone: 2 deliveries to wax, since ")
    assert wax.endswith(": wax answered 503")
    assert email == "no worker: queue email, 7 tasks waiting"
    assert batches == "batches: 2 have not ended, 1 overdue"
    ran = run("overview", "--format", "json")
    assert (ran.status, ran.json["held"][0]) == (1, {"cause": "permanent", "journeys": 1_000})
