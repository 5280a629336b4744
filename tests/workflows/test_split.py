"""The step `split` in a journey: no event of its history, the same branch whatever else is the same or not."""

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
TONE = Lot(seed="tones/tone", shares={"a": 5000, "b": 4500, "none": 500})
HALVES = {"a": 5000, "b": 5000}


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


def test_what_was_drawn_is_said_once_in_the_details() -> None:
    lot = Lot(seed="three/tone", shares=HALVES)
    row = SplitRow(kind="split", seed=lot.seed, shares=tuple(HALVES.items()), branches={"a": None, "b": None})
    done = StepRecord(
        id="tone", kind="split", outcome="a", at="2026-11-01T00:00:00+00:00", note="a (0.0412 of 1, by contact)"
    )
    state = State(version=1, plan={}, zone="UTC", entered_at=done.at, root="r", steps=[done])
    told = details(state, Plan(start="tone", steps={"tone": row}), "three@1")
    assert "| ✓ | `tone` | split a 50 b 50 | a (0.0412 of 1, by contact) | 2026-11-01 00:00:00 |" in told.splitlines()
