"""Continue-as-new and resets: in the middle of waits and holds nothing is lost, and nothing is sent twice."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHandle

from activities.failures import FailureKind
from activities.interface import LastAttempt, Sent
from scenario.steps.delivery import delivery_id
from tests.factories import attempt
from tests.stage import WHO, SlowLookUp, Stage, failing, outcomes, replay
from workflows.delivery import DeliveryRunner

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


# ---- a journey that somebody has reset: it sends again under the same id, as it was sent at first

SENDS = """
scenario: again
trigger: segment
steps:
  - wait_for: go
  - {sms: text, text: "{{ now }}"}
"""
FIRST = "2026-03-02T09:30:00+01:00"
"""The time with which it was sent before the reset."""


@pytest.fixture
def _reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Says of each journey's first run that a reset has made it: the time-skipping server makes none."""

    def original(self: workflow.Info) -> str:
        return self.run_id if self.continued_run_id else "the run before"

    def passed_over(_self: workflow.Info, _run_id: str) -> None:
        """What the server says."""

    monkeypatch.setattr(workflow.Info, "original_execution_run_id", property(original, passed_over), raising=False)


async def sent_before(stage: Stage) -> WorkflowHandle[Any, Any]:
    await stage.publish(SENDS)
    handle = await stage.start("again")
    await stage.until(handle, "waiting")
    row = attempt(
        delivery_id(handle.id, handle.first_execution_run_id or "", "text", 0),
        workflow_id=handle.id,
        run_id="the run before",
        scenario="again",
        step="text",
        channel="sms",
        now=FIRST,
        started_at=datetime.now(UTC),
    )
    await stage.store.record([row])
    return handle


@pytest.mark.usefixtures("_reset")
async def test_it_is_sent_with_the_time_of_before_also_in_a_later_run(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    handle = await sent_before(stage)
    long_run = handle.first_execution_run_id  # and no later run: it would end under the signal below

    def suggests(info: workflow.Info) -> bool:
        return info.run_id == long_run

    monkeypatch.setattr(workflow.Info, "is_continue_as_new_suggested", suggests)
    await handle.signal("event", {"name": "whatever"})
    await stage.continued(handle)
    await stage.client.get_workflow_handle(handle.id).signal("event", {"name": "go"})
    await stage.result(handle)
    assert [attempt.delivery.now for attempt in stage.channels.of("text")] == [FIRST]


@pytest.mark.usefixtures("_reset")
async def test_a_step_that_is_skipped_while_that_time_is_looked_up_sends_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(_: DeliveryRunner, _identifier: str) -> LastAttempt | None:
        """Comes to its own end in the moment in which it is cancelled: the cancellation is lost."""
        try:
            await workflow.wait_condition(lambda: False)
        except asyncio.CancelledError:
            return LastAttempt(now=FIRST)

    monkeypatch.setattr(DeliveryRunner, "_last_attempt", found)
    await stage.publish(SENDS)
    handle = await stage.start("again")
    await stage.until(handle, "waiting")
    await handle.signal("event", {"name": "go"})
    await stage.until(handle, lambda progress: progress["at"] == "text")
    await stage.operate(handle, "skip_step", WHO)
    result = await stage.result(handle)
    assert outcomes(result) == [("wait_for-1", "event"), ("text", "skipped")]
    assert stage.channels.of("text") == []
