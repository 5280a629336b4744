"""Continue-as-new: between steps and in the middle of waits and holds, with nothing lost and nothing sent twice."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from activities.failures import FailureKind
from activities.interface import Sent
from tests.workflows.conftest import WHO, SlowLookUp, Stage, failing, outcomes, replay

LONG = """
scenario: long
trigger: order
steps:
  - {sms: first, text: "{{ contact.firstname }}"}
  - wait: 2d
  - wait_for: order.delivered
    for: 7d
    then: [{webhook: hook, url: https://hooks.example.com/a, body: {carrier: "{{ event.carrier }}"}}]
  - {sms: last, text: "{{ contact.firstname }}"}
"""


async def runs(stage: Stage, handle: WorkflowHandle[Any, Any]) -> int:
    count, run_id = 0, handle.first_execution_run_id
    while run_id:
        count += 1
        history = await stage.client.get_workflow_handle(handle.id, run_id=run_id).fetch_history()
        last = history.events[-1]
        run_id = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id or None
    return count


async def shown_as(handle: WorkflowHandle[Any, Any], state: str) -> bool:
    newest = await handle.describe()
    return list(newest.search_attributes.get("JourneyState", ())) == [state]


@pytest.mark.usefixtures("_always_suggested")
async def test_a_journey_goes_on_in_new_runs_as_if_nothing_had_happened(stage: Stage) -> None:
    await stage.publish(LONG)
    handle = await stage.start(
        "long", {"type": "order", "order": {"external_id": "A"}}, contact={"id": 7, "firstname": "Zoé"}
    )
    await handle.signal("event", {"name": "order.delivered", "properties": {"carrier": "Colissimo"}, "id": "e-1"})
    await handle.signal("contact_changed", {"firstname": "Zoë"})
    result = await stage.result(handle)
    assert outcomes(result) == [
        ("first", "delivered"),
        ("wait-2", "waited"),
        ("wait_for-3", "event"),
        ("hook", "delivered"),
        ("last", "delivered"),
    ]
    assert await runs(stage, handle) > 1
    assert stage.channels.of("hook")[0].delivery.data["event"]["carrier"] == "Colissimo"
    assert stage.channels.of("last")[0].delivery.data["contact"]["firstname"] == "Zoë"
    first, hook = stage.channels.of("first")[0], stage.channels.of("hook")[0]
    assert -1 < (hook.at - first.at).total_seconds() - 2 * 86_400 < 60, "the wait did not begin again"


@pytest.mark.usefixtures("_always_suggested")
async def test_a_held_journey_keeps_its_delivery_id_over_runs(stage: Stage) -> None:
    await stage.publish(LONG.replace("- wait: 2d", "- wait: 1s"))
    stage.channels.scripts["hook"] = failing(FailureKind.PERMANENT, status=422)
    handle = await stage.start("long", {"type": "order", "order": {"external_id": "A"}})
    await handle.signal("event", {"name": "order.delivered"})
    # Its search attributes say so without a query: one that meets continue-as-new is lost by the test server.
    while await runs(stage, handle) < 3 or not await shown_as(handle, "held"):
        await asyncio.sleep(0.05)
        if await shown_as(handle, "held"):  # its history is too short yet: let it grow
            await handle.signal("event", {"name": "order.paid"})
    stage.channels.scripts["hook"] = lambda delivery, attempt: Sent(status=200, attempt=attempt)
    await stage.operate(handle, "retry_step", WHO)
    assert (await stage.result(handle))["outcome"] == "finished"
    assert await runs(stage, handle) >= 3
    assert len({attempt.delivery.id for attempt in stage.channels.of("hook")}) == 1


@pytest.mark.usefixtures("_always_suggested")
async def test_an_update_in_flight_is_answered_before_the_journey_continues_as_new(
    stage: Stage, slow_look_up: SlowLookUp
) -> None:
    stage.task_timeout = timedelta(seconds=1)
    await stage.publish(LONG.replace("- wait: 2d", "- wait: 1s"))
    stage.channels.scripts["hook"] = failing(FailureKind.PERMANENT, status=422)
    handle = await stage.start("long", {"type": "order", "order": {"external_id": "A"}})
    await handle.signal("event", {"name": "order.delivered"})
    while not await shown_as(handle, "held"):
        await asyncio.sleep(0.05)
    stage.channels.scripts["hook"] = lambda delivery, attempt: Sent(status=200, attempt=attempt)
    slow_look_up.begin()
    update = asyncio.ensure_future(stage.operate(handle, "retry_step", {**WHO, "version": 1}))
    await slow_look_up.asked.wait()
    length, before = 0, await runs(stage, handle)
    while length <= 12 + 6:  # two workflow tasks longer than what suggests another run
        length = (await handle.describe()).history_length
        await asyncio.sleep(0.1)
    assert await runs(stage, handle) == before
    slow_look_up.answered.set()
    assert (await update)["operations"][-1]["name"] == "retry_step"
    assert outcomes(await stage.result(handle))[-2:] == [("hook", "delivered"), ("last", "delivered")]


@pytest.mark.usefixtures("_always_suggested")
async def test_a_journey_with_too_much_to_hand_on_goes_on_in_its_run(stage: Stage) -> None:
    """Continue-as-new would be refused, and the workflow task fail over and over."""
    await stage.publish(LONG)
    contact = {"id": 7, "firstname": "Zoé", "custom": {"a": "a" * 20_000}}
    order = {"external_id": "A", "custom": {"c": "c" * 950_000}}
    handle = await stage.start("long", {"type": "order", "order": order}, contact=contact)
    await handle.signal("contact_changed", {"custom": {"b": "b" * 1_000_000}})
    carrier = {"carrier": "Colissimo", "d": "d" * 200_000}
    await handle.signal("event", {"name": "order.delivered", "properties": carrier})
    assert (await stage.result(handle))["outcome"] == "finished"
    assert await runs(stage, handle) == 1


async def test_a_journey_that_many_signals_reach_goes_on_in_a_new_run(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    """The server suggests it for thousands of events only, and refuses signals from the 10,001st on."""
    monkeypatch.setattr("workflows.inbox.MOST_SIGNALS", 30)
    await stage.publish(LONG)
    handle = await stage.start("long", {"type": "order", "order": {"external_id": "A"}})
    await stage.until(handle, "waiting")
    first = stage.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    told = [handle.signal("contact_changed", {"firstname": str(number)}) for number in range(29)]
    await asyncio.gather(*told)
    await stage.until(handle, "waiting")
    assert await runs(stage, handle) == 1
    await handle.signal("event", {"name": "order.delivered"})
    assert outcomes(await stage.result(handle))[-2:] == [("hook", "delivered"), ("last", "delivered")]
    assert await runs(stage, handle) == 2
    await replay(await first.fetch_history())
