"""Journeys that continue what a campaign has begun without a workflow."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

import pytest

from activities.handover import campaign_root, hand_over, is_started
from runtime.store import AdmissionRequest
from runtime.store.campaign_lines import LineDeparture, LineEnd
from scenario.steps.delivery import delivery_id
from scenario.steps.host import Memory
from tests.factories import NOW
from tests.stage import WHO, Stage, outcomes
from workflows.state import Held, State, StepRecord

OFFER: Final = """
scenario: offer
trigger: segment
exit: [{event: order.placed}]
steps:
  - {split: {a: 50, b: 50}, id: tone}
  - {sms: text, text: hi}
"""
ID: Final = "offer/7/sale"
ROOT: Final = campaign_root(ID, NOW)
ENTRY: Final[dict[str, Any]] = {
    "scenario": "offer",
    "contact": {"id": 7, "cellphone": "+33612345678"},
    "trigger": {"type": "segment"},
    "key": "sale",
}
HELD: Final = Held(step="text", kind="permanent", reason="it answered 400", at=NOW.isoformat(), cause="refused")


async def begun(stage: Stage, **state: Any) -> State:
    await stage.publish(OFFER)
    now = await stage.now()
    asking = AdmissionRequest("offer", 1, "7", "sale", ID, ROOT, "never", now, root=ROOT)
    await stage.store.admit_many([asking])
    split = StepRecord(id="tone", kind="split", outcome="a", at=now.isoformat())
    began: dict[str, Any] = {"at": "text", "since": now.isoformat(), "steps": [split], **state}
    return State(version=9, plan={}, zone="", entered_at=now.isoformat(), root="", **began)


async def start(stage: Stage, state: State) -> Any:
    for _ in range(2):  # the second starts none
        assert await hand_over(
            stage.client, entry=ENTRY, root=ROOT, state=state.dump(), workflow_id=ID, summary="offer"
        )
    assert await is_started(stage.client, ID, ROOT)
    return stage.client.get_workflow_handle(ID, result_type=dict)


async def test_a_journey_that_is_handed_over_held_is_retried_under_its_own_delivery_id(stage: Stage) -> None:
    handle = await start(stage, await begun(stage, held=HELD, now=NOW.isoformat()))
    progress = await stage.until(handle, "held")
    assert (progress["scenario"], progress["at"], progress["waiting"]["reason"]) == ("offer@1", "text", HELD.reason)
    described = await handle.describe()
    assert (await described.memo())["LastHeld"] == {name: value for name, value in asdict(HELD).items() if value}
    await stage.passages.flush()
    assert [one.step for one in await stage.store.passage_counts("offer", NOW)] == ["tone"]
    await stage.operate(handle, "retry_step", WHO)
    result = await stage.result(handle)
    assert outcomes(result) == [("tone", "a"), ("text", "delivered")]
    [attempt] = stage.channels.attempts
    assert attempt.delivery.id == delivery_id(ID, ROOT, "text", 0)
    [entry] = await stage.store.entries()
    assert (entry.run_id, entry.root, entry.outcome) == (described.run_id, ROOT, "finished")
    passed = await stage.store.passage_counts("offer", entry.admitted_at)
    assert [(one.version, one.step, one.outcome, one.total) for one in passed] == [
        (1, "text", "delivered", 1),
        (1, "tone", "a", 1),
    ]


@pytest.mark.parametrize("leaves", [True, False])
async def test_one_that_is_deferred_waits_or_leaves(stage: Stage, leaves: bool) -> None:
    until = await stage.now() + timedelta(hours=1)
    memory = Memory(until=until, deferral="it answered 503", deferrals=["later"])
    handle = await start(stage, await begun(stage, memory=memory, tried=1, scheduled=NOW.isoformat(), now=""))
    await stage.until(handle, "waiting")
    if leaves:
        await handle.signal("event", {"name": "order.placed", "properties": {}})
    else:
        await stage.environment.sleep(timedelta(hours=1))  # this handle's result skips no time
    result = await stage.result(handle)
    assert outcomes(result) == [("tone", "a"), ("text", "left" if leaves else "delivered")]
    assert [one.delivery.tried for one in stage.channels.attempts] == ([] if leaves else [1])
    assert leaves or stage.channels.attempts[0].at >= until


async def test_one_whose_entry_has_ended_or_is_taken_sends_nothing(stage: Stage) -> None:
    state = await begun(stage)
    departure = LineDeparture(ID, ROOT, "finished", None, await stage.now())
    await stage.store.end_campaign_lines("sale", [LineEnd(1, "delivered", None, departure)], NOW)
    result = await stage.result(await start(stage, state))
    assert (result["outcome"], stage.channels.attempts) == ("refused", [])
