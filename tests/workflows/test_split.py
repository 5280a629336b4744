"""The step `split` in a journey: no event of its history, the same branch whatever else is the same or not."""

from __future__ import annotations

from typing import Any

from temporalio.api.enums.v1 import EventType

from scenario.plan.plan import Plan
from scenario.policies.draw import Lot
from scenario.steps.split import SplitRow
from tests.workflows.conftest import Stage
from workflows.state import State, StepRecord
from workflows.visibility import details

TONES = """
scenario: tones
trigger: order
entry: {key: "{{ order.external_id }}", again: always}
steps:
  - split: {a: 50, b: 45, none: 5}
    id: tone
    branches: {a: [{sms: brisk, text: hi}], b: [{sms: warm, text: hi}]}
"""
THREE = """
scenario: three
trigger: order
steps:
  - split: {a: 50, b: 50}
    id: tone
  - split: {a: 50, b: 50}
    by: journey
    id: lane
  - split: {a: 50, b: 50}
    by: "{{ order.total_price }}"
    id: price
  - split: {a: 50, b: 50}
    by: "{{ contact.custom.store }}"
    id: store
    branches: {a: [{exit: no}], b: [{exit: no}]}
"""
TONE = Lot(seed="tones/tone", shares={"a": 5000, "b": 4500, "none": 500})
HALVES = {"a": 5000, "b": 5000}
WHO = {"operator": "ann", "reason": "no store"}


def order(number: str, **fields: Any) -> dict[str, Any]:
    return {"type": "order", "order": {"external_id": number, **fields}}


async def test_a_branch_is_taken_without_an_event_of_the_history(stage: Stage) -> None:
    await stage.publish(TONES)
    handle = await stage.start("tones", order("A1"), contact={"id": 7}, key="A1")
    drawn = TONE.draw("7")
    step = (await stage.result(handle))["steps"][0]
    assert (step["outcome"], step["note"]) == (drawn.name, str(drawn))
    happened = [event.event_type for event in (await handle.fetch_history()).events]
    assert happened[3:6] == [
        EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED,
        EventType.EVENT_TYPE_MARKER_RECORDED,  # admitted
        EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
    ]


async def test_a_contact_takes_the_same_branch_at_every_entry_and_in_every_version(stage: Stage) -> None:
    texts = (TONES, TONES.replace("text: hi", "text: hello"), TONES.replace("steps:\n", "steps:\n  - wait: 1d\n"))
    taken: dict[int, set[str]] = {}
    for number, text in enumerate(texts):
        await stage.publish(text)
        for contact in (7, 8, 9, 10):
            result = await stage.run("tones", order(f"A{number}"), contact={"id": contact}, key=f"A{number}")
            taken.setdefault(contact, set()).update(step["outcome"] for step in result["steps"] if step["id"] == "tone")
    assert taken == {contact: {TONE.draw(str(contact)).name} for contact in taken}
    assert len({name for names in taken.values() for name in names}) > 1


async def test_the_unit_is_the_contact_the_journey_or_what_a_template_prints(stage: Stage) -> None:
    await stage.publish(THREE)
    handle = await stage.start("three", order("A1", total_price="66.250"), contact={"id": 7})
    progress = await stage.until(handle, "held")
    expected = {
        "tone": Lot(seed="three/tone", shares=HALVES).draw("7"),
        "lane": Lot(seed="three/lane", shares=HALVES, by="journey").draw("three/7"),
        "price": Lot(seed="three/price", shares=HALVES, by="{{ order.total_price }}").draw("66.25"),
    }
    assert {step["id"]: step["note"] for step in progress["steps"]} == {
        name: str(drawn) for name, drawn in expected.items()
    }
    held = progress["waiting"]
    assert (held["step"], held["cause"], held["reason"]) == ("store", "template", "what it is drawn by is blank")
    await handle.signal("contact_changed", {"custom": {"store": 12}})
    await stage.operate(handle, "retry_step", WHO)
    result = await stage.result(handle)
    drawn = Lot(seed="three/store", shares=HALVES).draw("12")
    assert [step["outcome"] for step in result["steps"][-2:]] == [drawn.name, "exited"]


def test_what_was_drawn_is_said_once_in_the_details() -> None:
    lot = Lot(seed="three/tone", shares=HALVES)
    row = SplitRow(kind="split", seed=lot.seed, shares=tuple(HALVES.items()), branches={"a": None, "b": None})
    done = StepRecord(
        id="tone", kind="split", outcome="a", at="2026-11-01T00:00:00+00:00", note="a (0.0412 of 1, by contact)"
    )
    state = State(version=1, plan={}, zone="UTC", entered_at=done.at, root="r", steps=[done])
    told = details(state, Plan(start="tone", steps={"tone": row}), "three@1")
    assert "| ✓ | `tone` | split a 50 b 50 | a (0.0412 of 1, by contact) | 2026-11-01 00:00:00 |" in told.splitlines()


async def test_who_skips_a_split_goes_on_behind_it(stage: Stage) -> None:
    await stage.publish(THREE)
    handle = await stage.start("three", order("A1", total_price="1"))
    await stage.until(handle, "held")
    await stage.operate(handle, "skip_step", WHO)
    result = await stage.result(handle)
    assert (result["outcome"], result["steps"][-1]["outcome"]) == ("finished", "skipped")
