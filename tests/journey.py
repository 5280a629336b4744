"""A journey as it is seen from outside, for the tests of what shows it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cli.terminal import as_data
from runtime.store import Attempt
from scenario.plan.plan import Plan
from scenario.steps.delivery import Send
from scenario.steps.exit import ExitRow
from scenario.steps.wait import WaitRow
from scenario.steps.wait_for import WaitForRow
from service.journeys.snapshot import JourneySnapshot
from service.journeys.view import JourneyView
from tests import factories

START: Final = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)

PLAN: Final = Plan(
    start="mail",
    zone="Europe/Paris",
    steps={
        "mail": Send(kind="email", next="pause"),
        "pause": WaitRow(kind="wait", seconds=172_800.0, next="hook"),
        "hook": Send(kind="webhook", to="hooks.example.com", next="wait-3"),
        "wait-3": WaitForRow(
            kind="wait_for", event="order.delivered", seconds=604_800.0, then="bye", otherwise="later"
        ),
        "bye": ExitRow(kind="exit", reason="done"),
        "later": Send(kind="sms"),
        "nowhere": Send(kind="sms"),
    },
)
"""Its last step is reached from none: no such plan is made, and none must be shown."""

ENTRY: Final = factories.stored_entry("7", "a", key="K1", version=3, run_id="r1", admitted_at=START)


def shown(seen: JourneySnapshot) -> dict[str, Any]:
    """Return a journey as `scenario show --format json` prints it."""
    return json.loads(json.dumps(JourneyView.of(seen), default=as_data))


def attempt(step: str, number: int, *, minutes: float = 0, **more: Any) -> Attempt:
    """An attempt of a delivery, so many minutes and a second after the journey began."""
    given: dict[str, Any] = {
        "delivery_id": {"mail": "msg_00000001", "hook": "msg_00000002"}[step] + "0" * 24,
        "attempt": number,
        "step": step,
        "started_at": START + timedelta(minutes=minutes, seconds=1),
        "workflow_id": "a/7/K1",
        "run_id": "r1",
        "scenario": "a",
        "version": 3,
        "outcome": "retry",
        "status": 503,
    }
    return factories.attempt(**{**given, **more})


def _at(minutes: float, seconds: float = 0) -> str:
    return (START + timedelta(minutes=minutes, seconds=seconds)).isoformat()


PROGRESS: Final[dict[str, Any]] = {
    "state": "held",
    "scenario": "a@3",
    "at": "hook",
    "since": _at(5),
    "waiting": {
        "for": "an operator",
        "step": "hook",
        "kind": "DeliveryPermanent",
        "reason": "hooks.example.com answered 503",
        "at": _at(20),
        "destination": "hooks.example.com",
        "status": 503,
        "attempts": 2,
        "excerpt": "busy:\ttry\nlater",
        "cause": "exhausted",
    },
    "entered_at": _at(0),
    "steps": [
        {
            "id": "mail",
            "kind": "email",
            "outcome": "delivered",
            "at": _at(0, 1),
            "status": 250,
            "attempts": 1,
            "note": "rendered again with a@4",
        },
        {"id": "pause", "kind": "wait", "outcome": "skipped", "at": _at(5), "reason": "skipped by ann: hurry"},
    ],
    "events": [{"name": "order.placed", "at": _at(1)}],
    "operations": [
        {"name": "skip_step", "operator": "ann", "reason": "hurry", "at": _at(5), "step": "pause"},
        {
            "name": "retune",
            "operator": "ann",
            "reason": "it is slow",
            "at": _at(5),
            "step": "hook",
            "details": {"retry": {"initial_interval": 1, "deadline": 86_400}},
        },
    ],
}

HELD: Final = JourneySnapshot(
    id="a/7/K1",
    run_id="r2",
    status="running",
    progress=PROGRESS,
    entry=ENTRY,
    attempts=[
        attempt("mail", 1, channel="email", destination="mx.example.com", outcome="delivered", status=250),
        attempt("hook", 1, started_at=START + timedelta(minutes=5), next_try_at=START + timedelta(minutes=10)),
        attempt(
            "hook",
            2,
            started_at=START + timedelta(minutes=10),
            outcome="failed",
            response="busy:\ttry\nlater",
            trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        ),
    ],
    plan=PLAN,
)
"""It was held at its third step after two attempts."""
