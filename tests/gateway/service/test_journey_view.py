"""One word for a journey's state, and its place; `tests/gateway/cli/test_json.py` has a view in full."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from gateway.journeys.snapshot import JourneySnapshot
from tests.gateway.journey import ENTRY, HELD, PROGRESS, START, shown

OVER = replace(ENTRY, ended_at=START + timedelta(days=1), outcome="exited", reason="event order.returned")
BARE = JourneySnapshot("a/7/K1", "r2", "running", None, None, ())


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


ANSWERED, ENDED = "hooks.example.com answered 503", "event order.returned"
FINISHED = {"outcome": "finished", "reason": ""}
REFUSED = {"outcome": "refused", "reason": "it is admitted only once"}
UNANSWERED = replace(HELD, progress=None)
STATES: dict[str, tuple[JourneySnapshot, str, str | None]] = {
    "nobody has looked at it": (BARE, "entering", None),
    "a worker answers": (HELD, "held", ANSWERED),
    "search knows": (replace(UNANSWERED, state="waiting"), "waiting", None),
    "nobody knows more": (UNANSWERED, "running", None),
    "paused on the server": (replace(HELD, status="paused"), "paused", ANSWERED),
    "it finished": (replace(UNANSWERED, status="completed", entry=OVER, result=FINISHED), "finished", ENDED),
    "it was refused": (replace(BARE, status="completed", result=REFUSED), "refused", "it is admitted only once"),
    "it failed": (replace(UNANSWERED, status="failed", failure="failed: no"), "failed", "failed: no"),
    "it was terminated": (replace(HELD, status="terminated", failure="was terminated"), "terminated", "was terminated"),
    "only the store knows it": (replace(UNANSWERED, status="forgotten", entry=OVER), "exited", ENDED),
    "it never took leave": (replace(UNANSWERED, status="forgotten"), "lost", None),
}


@pytest.mark.parametrize(("view", "state", "reason"), STATES.values(), ids=STATES.keys())
def test_one_word_says_how_it_is(view: JourneySnapshot, state: str, reason: str | None) -> None:
    told = shown(view)
    assert (told["state"], told["reason"]) == (state, reason)
    if view.status not in ("running", "paused"):
        assert (told["at"], told["since"], told["waiting"]) == (None, None, None)


def test_without_a_worker_the_place_comes_from_search() -> None:
    told = shown(replace(HELD, progress=None, state="waiting", step="wait-3"))
    assert (told["at"], told["answered"]) == ("wait-3", False)
    places = [(step["id"], step["state"]) for step in told["steps"]]
    assert places == [("wait-3", "now"), ("bye", "to come"), ("later", "to come")]
