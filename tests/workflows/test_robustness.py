"""What must not stop a journey: bad data of every kind, and things that happen in the same moment."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.admission import AdmissionActivities
from activities.channel_registry import WEBHOOK
from activities.content import Content
from activities.decision import decide
from activities.failures import FailureKind
from activities.gate import Releases
from runtime.store import Store
from tests.workflows.conftest import WHO, Channels, Desk, Stage, after, deep, failing, no_activity, outcomes, worker
from workflows.journey import Journey
from workflows.primitives import PATIENCE

HOOK = """
scenario: hook
trigger: segment
exit: [{event: gone}]
steps:
  - {webhook: hook, url: https://hooks.example.com/a, body: {}}
  - exit: end
"""
PARKED = """
scenario: parked
trigger: order
steps:
  - wait_for: go
    if: event.a contains event.b
    for: 3d
  - sms: last
    text: "{{ contact.custom.a }} {{ contact.custom.b }}"
  - exit: end
"""
ORDERED = {"type": "order", "order": {"external_id": "A"}}


@dataclass
class Absent:
    """A stage whose journeys' worker comes and goes, so that several things are waiting for it when it comes back."""

    stage: Stage
    admissions: AdmissionActivities

    def worker(self) -> Worker:
        own = [self.admissions.admit, self.admissions.depart, decide, Releases(self.stage.store).release]
        return worker(self.stage.client, [Journey], own, max_cached_workflows=0)


@pytest.fixture
async def absent(environment: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Absent]:
    channels = Channels(environment)
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        admissions = AdmissionActivities(Content(store), store, "Europe/Paris")
        async with Worker(environment.client, task_queue=WEBHOOK.queue, activities=[channels.send_webhook]):
            yield Absent(Stage(environment, store, channels, Desk()), admissions)


async def over(handle: WorkflowHandle[Any, Any]) -> None:
    while (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("fails", "skips", "expected"),
    [
        (True, False, [("hook", "left")]),
        (True, True, [("hook", "skipped"), ("exit-2", "exited")]),
        (False, False, [("hook", "delivered")]),
        (False, True, [("hook", "delivered"), ("exit-2", "exited")]),
    ],
)
async def test_a_delivery_that_ends_while_the_contact_leaves_or_it_is_skipped_has_one_outcome(
    absent: Absent, fails: bool, skips: bool, expected: list[tuple[str, str]]
) -> None:
    stage, go = absent.stage, asyncio.Event()
    await stage.publish(HOOK)
    stage.channels.scripts["hook"] = after(go, failing(FailureKind.PERMANENT) if fails else None)
    async with absent.worker():
        handle = await stage.start("hook")
        await stage.attempted("hook")
    skip = await stage.begin(handle, "skip_step", WHO) if skips else None
    if not skips:
        await handle.signal("event", {"name": "gone"})
    go.set()
    await no_activity(handle)
    async with absent.worker():
        await over(handle)
        if skip is not None:
            await skip
    assert outcomes(await stage.result(handle)) == expected


@pytest.mark.parametrize("sure", [True, False])
async def test_a_journey_that_ends_while_an_event_is_looked_at_ends_well(absent: Absent, sure: bool) -> None:
    stage, go = absent.stage, asyncio.Event()
    await stage.publish(HOOK.replace("event: gone", "event: gone, if: event.sure == true").replace("  - exit: end", ""))
    stage.channels.scripts["hook"] = after(go)
    async with absent.worker():
        handle = await stage.start("hook")
        await stage.attempted("hook")
    # Nobody serves journeys now, so that both come with the next task.
    await handle.signal("event", {"name": "gone", "properties": {"sure": sure}})
    go.set()
    await no_activity(handle)
    async with absent.worker():
        await over(handle)
        result = await stage.result(handle)
    assert (result["outcome"], outcomes(result)) == ("finished", [("hook", "delivered")])


async def test_a_step_that_is_skipped_while_paused_is_not_performed_even_where_it_takes_no_time(stage: Stage) -> None:
    await stage.publish(PARKED.replace("  - sms: last", "  - exit: end\n  - sms: last"))
    handle = await stage.start("parked", ORDERED)
    await stage.until(handle, "waiting")
    await stage.operate(handle, "pause", WHO)
    await stage.operate(handle, "skip_step", {**WHO, "step": "wait_for-1"})
    await stage.until(handle, lambda progress: progress["at"] == "exit-2")
    await stage.operate(handle, "skip_step", {**WHO, "step": "exit-2"})
    await stage.operate(handle, "resume", WHO)
    await over(handle)
    assert outcomes(await stage.result(handle))[-1] == ("exit-2", "skipped")


async def test_an_operation_to_a_paused_journey_that_must_continue_as_new_is_kept_until_it_goes_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    suggested = False

    def suggests(_: workflow.Info) -> bool:
        return suggested

    monkeypatch.setattr(workflow.Info, "is_continue_as_new_suggested", suggests)
    await stage.publish(PARKED)
    handle = await stage.start("parked", ORDERED)
    await stage.until(handle, "waiting")
    await stage.operate(handle, "pause", WHO)
    await stage.operate(handle, "skip_step", WHO)
    await stage.until(handle, lambda progress: progress["at"] == "last")
    await stage.operate(handle, "skip_step", {**WHO, "step": "last"})
    suggested = True
    await handle.signal("event", {"name": "whatever"})
    assert (await stage.until(handle, "paused"))["at"] == "last"
    suggested = False
    await stage.operate(handle, "resume", WHO)
    await over(handle)
    assert ("last", "skipped") in outcomes(await stage.result(handle))


async def test_an_event_with_strange_properties_stops_nothing(stage: Stage) -> None:
    await stage.publish(PARKED)
    handle = await stage.start("parked", ORDERED)
    strange: list[dict[str, Any]] = [deep(198), deep(101), {"a": {"x": 1}, "b": []}, {"a": 10**400, "b": 1}]
    for properties in strange:
        await handle.signal("event", {"name": "go", "properties": properties})
    assert outcomes(await stage.result(handle))[0] == ("wait_for-1", "timeout")


async def test_a_change_with_strange_data_changes_nothing(stage: Stage) -> None:
    await stage.publish(PARKED)
    handle = await stage.start("parked", ORDERED, contact={"custom": {"a": 1}})
    patches: list[dict[str, Any]] = [
        {"custom": "x", "custom_fields": [{"name": "a", "value": 9}]},
        {"recommendations": [{"price": 10**400}]},
        {"custom": deep(198)},
        {"firstname": {"a": 1}},
        {"creation_date": []},
    ]
    for patch in patches:
        await handle.signal("contact_changed", patch)
    await stage.result(handle)
    assert stage.channels.of("last")[0].delivery.data["contact"]["custom"]["a"] == 1


@pytest.mark.usefixtures("_always_suggested")
async def test_changes_of_custom_fields_in_several_forms_all_survive_continue_as_new(stage: Stage) -> None:
    await stage.publish(PARKED.replace("- wait_for: go", "- wait: 1d\n  - wait: 1d\n  - wait_for: go"))
    handle = await stage.start("parked", ORDERED)
    await handle.signal("contact_changed", {"custom": {"a": 1}})
    await handle.signal("contact_changed", {"custom_fields": [{"name": "b", "value": "2", "data_type": "integer"}]})
    await stage.result(handle)
    assert stage.channels.of("last")[0].delivery.data["contact"]["custom"] == {"a": 1, "b": 2}


async def test_a_store_that_is_down_for_long_is_waited_for_at_the_server(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    """A worker that waited itself could not stop meanwhile, and would fill the journey's history every few seconds."""
    depart, tries = stage.store.depart, 0

    async def down_at_first(*given: Any) -> None:
        nonlocal tries
        tries += 1
        if tries < 8:
            raise OSError("the store is down")
        await depart(*given)

    monkeypatch.setattr(stage.store, "depart", down_at_first)
    await stage.publish(HOOK)
    handle = await stage.start("hook")
    assert (await stage.result(handle))["outcome"] == "exited"
    assert tries == 8
    history = await handle.fetch_history()
    timers = [event for event in history.events if event.HasField("timer_started_event_attributes")]
    assert len(timers) == 5, "a moment before the departure, and pauses of 4 s and more"
    tail = history.events[history.events.index(timers[3]) : history.events.index(timers[4])]
    assert 50_000 / len(tail) * (PATIENCE.maximum_interval or timedelta(0)) > timedelta(days=10), (
        "it may be down so long"
    )


async def test_an_event_that_could_not_be_handed_on_is_ignored(stage: Stage) -> None:
    await stage.publish(PARKED)
    handle = await stage.start("parked", ORDERED)
    await handle.signal("event", {"name": "go", "properties": {"a": "ab" + "x" * 300_000, "b": "b"}})
    await handle.signal("event", {"name": "go", "properties": {"a": "ab", "b": "b", "c": 1}})
    result = await stage.result(handle)
    assert [step["outcome"] for step in result["steps"]] == ["event", "delivered", "exited"]
    assert len((await handle.query("progress"))["events"]) == 1
