"""What Temporal's UI shows of a journey, in Markdown."""

from __future__ import annotations

from scenario.plan.plan import Plan
from scenario.steps.delivery import Send
from scenario.steps.wait import WaitRow
from workflows.state import Held, Operation, State
from workflows.visibility import details

PLAN = Plan(start="hook", steps={"hook": Send(kind="webhook", to="wax", next="pause"), "pause": WaitRow(kind="wait")})
HELD = Held(
    step="hook", kind="DeliveryPermanent", reason="wax answered 422", at="2026-03-31T08:00:00+00:00", attempts=1
)
PAUSED = Operation(name="pause", operator="ann", reason="incident 42", at="2026-03-31T09:00:00+00:00")


def shown(**more: object) -> list[str]:
    """The lines between the title and the table of steps."""
    state = State(version=3, plan={}, zone="UTC", entered_at="2026-03-31T07:00:00+00:00", at="hook", root="r1")
    for name, value in more.items():
        setattr(state, name, value)
    lines = details(state, PLAN, "a@3 · 7").splitlines()
    return [line for line in lines[1 : lines.index("| | step | what | outcome | at |")] if line]


def test_a_held_journey_says_why_and_what_to_do() -> None:
    held, decide = shown(held=HELD)
    assert held == "**Held** at `hook` since 2026-03-31T08:00:00+00:00: wax answered 422, 1 attempt"
    assert decide == "Decide with the updates `retry_step`, `skip_step` or `leave`."


def test_a_held_journey_that_is_paused_as_well_says_both() -> None:
    held, _, paused, resume = shown(held=HELD, paused=PAUSED)
    assert held.startswith("**Held** at `hook`")
    assert paused == "**Paused** since 2026-03-31T09:00:00+00:00 by ann: incident 42"
    assert resume == "Let it go on with the update `resume`."


def test_a_journey_says_until_when_it_waits_unless_it_is_paused() -> None:
    assert shown(until="2026-04-02T08:00:00+00:00") == ["Waiting at `hook` until 2026-04-02T08:00:00+00:00"]
    assert shown(until="2026-04-02T08:00:00+00:00", paused=PAUSED)[0].startswith("**Paused**")
    assert shown() == []
