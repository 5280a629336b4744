"""The state of a journey, which each run carries to the next."""

import json
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from activities.interface import CompletedStep
from scenario.errors import ScenarioError
from scenario.steps.host import KEPT_RESPONSES, Memory, Rounds
from workflows.limits import (
    KEPT_EVENT_BYTES,
    KEPT_IGNORED,
    KEPT_OPERATIONS,
    KEPT_STEPS,
    KNOWN_EVENT_IDS,
)
from workflows.state import Event, Held, IgnoredInput, OperationRecord, Override, State, StepRecord


def record(step: str, at: str = "2027-01-01T00:00:00+00:00") -> StepRecord:
    return StepRecord(id=step, kind="sms", outcome="delivered", at=at)


def state() -> State:
    return State(version=3, plan={}, zone="UTC", entered_at="2027-01-01T00:00:00+00:00", root="run")


def test_the_error_of_a_state_that_cannot_be_read_quotes_nothing_of_the_contact() -> None:
    carried = state().dump() | {"events": [{"properties": {"email": "ann@example.com"}}]}
    with pytest.raises(ScenarioError) as caught:
        State.load(carried)
    assert str(caught.value) == "the carried state is not for this version: Field required at 'events.0.name'"
    assert caught.value.__suppress_context__


def test_the_state_comes_back_as_it_went() -> None:
    state = State(
        version=3,
        plan={"start": "a", "steps": {"a": {"kind": "exit", "reason": "r"}}},
        zone="Europe/Paris",
        entered_at="2027-01-01T00:00:00+00:00",
        root="run",
        at="a",
        visits={"a": 1},
        steps=[StepRecord(id="a", kind="sms", outcome="delivered", at="t", status=200)],
        event_ids=["e-1"],
        patch={"firstname": "Zoë"},
        held=Held(step="a", kind="DeliveryPermanent", reason="r", at="t"),
        paused=OperationRecord(name="pause", operator="ann", reason="r", at="t"),
        operations=[OperationRecord(name="pause", operator="ann", reason="r", at="t", details={"retry": {}})],
        override=Override(version=4, step={"kind": "exit", "reason": "r"}),
        retuned={"initial": 1.0},
        now="2027-01-01T01:00:00+01:00",
        digest="0123456789abcdef",
        ignored=[IgnoredInput(what="event", reason="r", at="t", count=2)],
        reset=True,
        steps_uncounted=[CompletedStep(version=2, step="a", outcome="delivered", at="t")],
        steps_counted=4,
        memory=Memory(
            until=datetime(2027, 1, 2, tzinfo=UTC),
            awaiting="order.paid",
            deferral="quiet hours",
            deferrals=["kept back"],
            mark=2,
            rounds={"a": Rounds(number=2, began="2027-01-01T00:00:00+00:00", mark=1)},
            event={"name": "order.paid"},
            responses={"found": {"tier": "gold"}},
        ),
    )
    state.keep(Event(name="order.delivered", properties={"a": [1]}))
    assert State.load(state.dump()) == state
    assert State.load({**state.dump(), "a_field_of_a_later_version": 1}) == state
    assert State.load(of_a_later_version(state.dump())) == state, "a worker may be put back to the version before"
    assert State.is_readable(of_a_later_version(state.dump()))


def of_a_later_version(data: dict[str, Any]) -> dict[str, Any]:
    """What a later version may have written: everything has one field more."""
    more: dict[str, Any] = {"a_field_of_a_later_version": 1}
    made: dict[str, Any] = {**data, **more}
    for name in ("steps", "events", "operations", "ignored", "steps_uncounted"):
        made[name] = [{**item, **more} for item in data[name]]
    for name in ("held", "paused", "override", "memory"):
        made[name] = {**data[name], **more}
    return made


def test_rounds_that_are_forgotten_are_counted_all_the_same() -> None:
    made = state()
    for number in range(KEPT_STEPS + 500):
        made.record(record("poll" if number % 2 else "wait"))
    assert (len(made.steps), made.forgotten) == (KEPT_STEPS, 500)
    assert (made.steps_counted, len(made.steps_uncounted)) == (0, KEPT_STEPS + 500)
    made.mark_counted(600)
    assert (made.steps_counted, len(made.steps_uncounted)) == (600, KEPT_STEPS - 100)


def test_of_steps_that_are_repeated_the_oldest_records_are_forgotten_and_never_the_latest() -> None:
    kept = state()
    names = ["once", *(("a", "b") * KEPT_STEPS), "last"]
    for number, name in enumerate(names):
        kept.record(record(name, str(number)))
    assert (len(kept.steps), kept.forgotten) == (KEPT_STEPS, len(names) - KEPT_STEPS)
    assert [record.at for record in kept.steps[:2]] == ["0", str(len(names) - KEPT_STEPS + 1)]
    kept.memory.rounds["a"] = Rounds(number=2, began="2027-01-01T00:00:00+00:00", mark=1)
    assert State.load(kept.dump()) == kept
    for name in names[: KEPT_STEPS + 50]:  # nothing that was done once is forgotten
        kept.record(record(f"{name}{len(kept.steps)}"))
    kept.go("once")
    assert kept.visits == {"once": 1}


def test_the_oldest_responses_are_forgotten_where_all_together_are_too_large() -> None:
    kept, forgot = Memory(), "older responses were forgotten, all together are too large: "
    part = "x" * (KEPT_RESPONSES // 3 - 2)
    assert [kept.save(name, part) for name in ("a", "b", "c")] == [None, None, None]
    assert kept.save("a", part) is None, "one that is kept again takes its own place, and is the newest from then on"
    assert kept.save("d", part) == f"{forgot}b"
    assert list(kept.responses) == ["c", "a", "d"]
    assert kept.save("e", "x" * (KEPT_RESPONSES - 2)) == f"{forgot}c, a, d"
    assert list(kept.responses) == ["e"]


def test_the_oldest_events_are_forgotten_where_all_together_are_too_large() -> None:
    kept = state()
    third = {"text": "x" * (KEPT_EVENT_BYTES // 3 - 12)}
    for _ in range(4):
        kept.keep(Event(name="a", properties=third))
    assert [event.number for event in kept.events] == [2, 3, 4]
    kept.keep(Event(name="a", properties={"half a character": "\ud800"}))
    assert [event.number for event in kept.events] == [3, 4, 5]
    kept.keep(Event(name="a", properties={"text": "x" * KEPT_EVENT_BYTES}))
    assert [event.number for event in kept.events] == [6], "the newest is kept whatever it takes"


def test_the_newest_operations_ignored_inputs_and_event_ids_are_kept() -> None:
    kept = state()
    for number in range(KNOWN_EVENT_IDS + 1):
        kept.note(OperationRecord(name="pause", operator="ann", reason=str(number), at=kept.entered_at))
        assert kept.ignore(f"event {number}", "why", kept.entered_at) == 1
        assert kept.is_repeated(f"e{number}") is False
    newest = list(map(str, range(KNOWN_EVENT_IDS + 1)))
    assert [one.reason for one in kept.operations] == newest[-KEPT_OPERATIONS:]
    assert [one.what for one in kept.ignored] == [f"event {number}" for number in newest[-KEPT_IGNORED:]]
    assert kept.event_ids == [f"e{number}" for number in newest[1:]]
    assert kept.is_repeated("e1") is True
    assert kept.ignore(kept.ignored[0].what, "again", kept.entered_at) == 2


def test_what_is_not_looked_at_goes_along_to_the_next_run() -> None:
    kept = state()
    kept.keep_for_goal(Event(name="order.placed", properties={"total": 1}, at=kept.entered_at))
    kept.keep_for_goal(Event(name="order.placed", properties={"note": "x" * KEPT_EVENT_BYTES}))
    kept.goal_reached_at = kept.entered_at
    again = State.load(json.loads(json.dumps(kept.dump())))
    assert again == kept
    assert [event.properties for event in again.goal_events] == [{"total": 1}]


STATE: dict[str, Any] = State(
    version=1,
    plan={"start": "a", "steps": {"a": {"kind": "wait", "seconds": 60.0, "next": None}}},
    zone="UTC",
    entered_at="2027-01-01T00:00:00+00:00",
    root="run",
    at="a",
).dump()
"""What a run hands on, as somebody may have copied it."""
MADE_UP: Final[tuple[dict[str, Any], ...]] = (
    {"version": "1", "plan": "p", "zone": 1, "entered_at": 1, "root": None},
    {"plan": {}},
    {"plan": {"start": "a", "steps": {"a": {"kind": "nothing"}}}},
    {"plan": {"start": "a", "steps": {"a": {"kind": "wait", "seconds": 60.0, "next": "b"}}}},
    {"at": "b"},
    {"at": 1},
    {"steps": [{"id": "a"}]},
    {"steps": [3]},
    {"events": {}},
    {"held": True},
    {"paused": {"name": "pause"}},
    {"override": {"version": 1, "step": {}}},
    {"visits": [1]},
    {"retuned": {"initial": "1"}},
    {"since": "yesterday"},
    {"memory": {"until": "2027-01-01"}},
    {"memory": {"until": 5}},
)
"""What of it may be something that no run hands on."""


def test_only_what_a_run_hands_on_can_be_taken_up() -> None:
    assert [change for change in MADE_UP if State.is_readable({**STATE, **change})] == []
    assert State.is_readable(STATE)
    required = {"version", "plan", "zone", "entered_at", "root"}
    assert State.is_readable({name: value for name, value in STATE.items() if name in required})
