"""What programs are told of a journey: stable keys, and one word for its state."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.journeys.snapshot import DeliveryStatus, JourneySnapshot
from tests.gateway.journey import ENTRY, HELD, PROGRESS, START, shown
from workflows.state import IgnoredInput

OVER = replace(ENTRY, ended_at=START + timedelta(days=1), outcome="exited", reason="event order.returned")
PASSED_OVER = [asdict(IgnoredInput(what="event", reason="it is larger than 256 KB", at=START.isoformat(), count=4))]
BARE = JourneySnapshot("a/7/K1", "r2", "running", None, None, ())


def test_a_held_journey_in_full() -> None:
    told = shown(HELD)
    deliveries = told.pop("deliveries")
    assert [(item["step"], item["attempt"], item["outcome"]) for item in deliveries] == [
        ("mail", 1, "delivered"),
        ("hook", 1, "retry"),
        ("hook", 2, "failed"),
    ]
    steps = told.pop("steps")
    assert [(step["id"], step["state"], step["outcome"], step["what"]) for step in steps] == [
        ("mail", "done", "delivered", "email"),
        ("pause", "done", "skipped", "wait 2d"),
        ("hook", "now", "held", "webhook → hooks.example.com"),
        ("wait-3", "to come", None, "wait for order.delivered, 7d at most"),
        ("bye", "to come", None, "exit"),
        ("later", "to come", None, "sms"),
    ]
    assert told == {
        "id": "a/7/K1",
        "run_id": "r2",
        "scenario": "a@3",
        "contact": "7",
        "key": "K1",
        "status": "running",
        "state": "held",
        "reason": "hooks.example.com answered 503",
        "answered": True,
        "entered_at": "2026-03-31T08:00:00+00:00",
        "at": "hook",
        "since": "2026-03-31T08:05:00+00:00",
        **{name: PROGRESS[name] for name in ("waiting", "events", "operations")},
        "steps_forgotten": 0,
        "rounds": [],
        "pending": [],
        "passed_over": [],
        "earlier_deliveries": False,
        **dict.fromkeys(("campaign", "ended_at", "paused", "moves_to", "goal")),
    }


def test_a_goal_is_told_as_far_as_it_is_known() -> None:
    assert HELD.entry is not None
    until, reached = datetime(2026, 4, 14, 8, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    entry = replace(HELD.entry, goal_until=until)
    told = {"until": until.isoformat(), "reached_at": None, "value": None}
    assert shown(replace(HELD, entry=entry))["goal"] == told
    entry = replace(entry, reached_at=reached, goal_value="49.9")
    told |= {"reached_at": reached.isoformat(), "value": "49.9"}
    assert shown(replace(HELD, entry=entry))["goal"] == told


PAUSE = {"name": "pause", "operator": "ann", "reason": "sale", "at": "2026-03-31T08:30:00+00:00", "step": "hook"}
RESUME = {**PAUSE, "name": "resume"}
PAUSES: list[tuple[list[dict[str, Any]], dict[str, Any] | None]] = [
    ([], None),
    ([PAUSE, {**PAUSE, "name": "retry_step"}], PAUSE),
    ([PAUSE, RESUME], None),
    ([PAUSE, RESUME, PAUSE], PAUSE),
]


def test_a_held_journey_may_be_paused_as_well() -> None:
    for orders, pause in PAUSES:
        view = replace(HELD, progress={**PROGRESS, "operations": orders})
        assert (shown(view)["state"], shown(view)["paused"]) == ("held", pause)
        assert shown(replace(view, status="completed"))["paused"] is None


STATES: dict[str, tuple[JourneySnapshot, str, str | None]] = {
    "nobody has looked at it": (BARE, "entering", None),
    "a worker answers": (HELD, "held", "hooks.example.com answered 503"),
    "search knows": (replace(HELD, progress=None, state="waiting"), "waiting", None),
    "nobody knows more": (replace(HELD, progress=None), "running", None),
    "paused on the server": (replace(HELD, status="paused"), "paused", "hooks.example.com answered 503"),
    "it finished": (
        replace(HELD, status="completed", progress=None, entry=OVER, result={"outcome": "finished", "reason": ""}),
        "finished",
        "event order.returned",
    ),
    "it was refused": (
        replace(BARE, status="completed", result={"outcome": "refused", "reason": "it is admitted only once"}),
        "refused",
        "it is admitted only once",
    ),
    "it failed": (replace(HELD, status="failed", progress=None, failure="failed: no"), "failed", "failed: no"),
    "it was terminated": (replace(HELD, status="terminated", failure="was terminated"), "terminated", "was terminated"),
    "only the store knows it": (
        replace(HELD, status="forgotten", progress=None, entry=OVER),
        "exited",
        "event order.returned",
    ),
    "it never took leave": (replace(HELD, status="forgotten", progress=None), "lost", None),
}


@pytest.mark.parametrize(("view", "state", "reason"), STATES.values(), ids=STATES.keys())
def test_one_word_says_how_it_is(view: JourneySnapshot, state: str, reason: str | None) -> None:
    told = shown(view)
    assert (told["state"], told["reason"]) == (state, reason)
    if view.status not in ("running", "paused"):
        assert (told["at"], told["since"], told["waiting"]) == (None, None, None)


def test_what_a_journey_passed_over_is_told() -> None:
    view = replace(HELD, progress={**PROGRESS, "passed_over": PASSED_OVER})
    assert shown(view)["passed_over"] == [
        {"what": "event", "reason": "it is larger than 256 KB", "at": "2026-03-31T08:00:00+00:00", "count": 4}
    ]
    assert shown(replace(view, progress=None))["passed_over"] == []


def test_the_steps_of_one_that_is_over_come_from_its_result() -> None:
    steps: list[dict[str, Any]] = PROGRESS["steps"]
    view = replace(HELD, status="completed", progress=None, result={"outcome": "finished", "steps": steps})
    assert [(step["id"], step["state"]) for step in shown(view)["steps"]] == [("mail", "done"), ("pause", "done")]


def test_without_a_worker_the_place_comes_from_search() -> None:
    told = shown(replace(HELD, progress=None, state="waiting", step="wait-3"))
    assert (told["at"], told["answered"]) == ("wait-3", False)
    assert [(step["id"], step["state"]) for step in told["steps"]] == [
        ("wait-3", "now"),
        ("bye", "to come"),
        ("later", "to come"),
    ]


def test_a_delivery_under_way_says_when_it_is_tried_next() -> None:
    due = datetime(2026, 3, 31, 9, 30, tzinfo=UTC)
    status = DeliveryStatus(step="hook", state="scheduled", attempt=3, next_try_at=due, last_failure="it answered 503")
    assert shown(replace(HELD, pending=(status,)))["pending"] == [
        {
            "step": "hook",
            "state": "scheduled",
            "attempt": 3,
            "next_try_at": "2026-03-31T09:30:00+00:00",
            "last_failure": "it answered 503",
            "retry": None,
            "gives_up_at": None,
            "turned_away": None,
            "why": None,
        }
    ]
