"""Who comes in, who does not, and how it is said; also through the workflow `Enter`, and before admission."""

import asyncio
import json
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.common import RawValue

from activities.admission import AdmissionActivities
from activities.content import Content
from activities.interface import Admission, AdmissionResult
from runtime.search_attributes import CONTACT_ID, SCENARIO_NAME
from runtime.store import Store
from scenario.entry.values import PlatformDates
from scenario.policies.draw import Holdout, Lot, apart
from tests.factories import present, publish
from tests.stage import WHO, Stage, deep, failure_of, outcomes, refusal
from workflows.limits import MOST_PARTS, TOO_MANY_PARTS

GATE = """
scenario: gate
trigger: order
entry: {key: "{{ order.external_id }}", again: AGAIN, if: order.total_price > 20}
steps:
  - STEP
"""


async def publish_gate(stage: Stage, again: str = "always", step: str = "exit: in") -> None:
    await stage.publish(GATE.replace("AGAIN", again).replace("STEP", step))


def order(price: object = 30) -> dict[str, Any]:
    return {"type": "order", "order": {"external_id": "A1", "total_price": price}}


def entry(price: object = 30, contact: Any = 7, **more: Any) -> dict[str, Any]:
    return {"scenario": "gate", "contact": {"id": contact}, "trigger": order(price), **more}


async def begin(stage: Stage, argument: Any) -> WorkflowHandle[Any, dict[str, Any]]:
    return await stage.client.start_workflow(
        "Journey", argument, id="gate/7/A1", task_queue="journeys", result_type=dict
    )


async def test_an_entry_that_may_not_come_in_ends_at_once_and_says_why(stage: Stage) -> None:
    await publish_gate(stage)
    datas: list[dict[str, Any]] = [{"a": "é" * 600_000}, {"a": [[]] * MOST_PARTS}, deep(198)]
    large, many, nested = ({"type": "order", "order": data} for data in datas)
    entries: list[tuple[dict[str, Any], str]] = [
        ({"trigger": order(price=20)}, "the entry rule of gate does not hold: order.total_price > 20"),
        ({"trigger": {"type": "order"}}, "a trigger 'order' needs its data under 'trigger.order'"),
        ({"scenario": "gat"}, "there is no scenario 'gat': did you mean 'gate'?"),
        ({"contact": {}}, "the contact has no id: give 'contact.id'"),
        ({"key": "B2"}, "the workflow id must be gate/<contact id>/<key>, as the scenario's entry rules say"),
        ({"trigger": large}, "the entry is larger than 1024 KB: leave out what no template names"),
        ({"trigger": many}, TOO_MANY_PARTS),
        ({"trigger": nested}, "the entry is nested too deeply"),
    ]  # fmt: skip
    for change, reason in entries:
        handle = await begin(stage, {**entry(), **change})
        assert await handle.result() == {"outcome": "refused", "reason": reason, "version": None, "steps": []}


async def failure(stage: Stage, *arguments: Any, workflow: str = "Journey") -> tuple[str | None, str]:
    handle = await stage.client.start_workflow(workflow, args=arguments, id="x", task_queue="journeys")
    return await failure_of(handle.result())


@pytest.mark.parametrize(("workflow", "name"), [("Journey", "a Journey"), ("Enter", "Enter")])
async def test_an_argument_that_is_no_entry_fails_the_workflow_readably(stage: Stage, workflow: str, name: str):
    why = f"The argument of {name} must be one JSON object with 'scenario', 'contact' and 'trigger'"
    some: list[list[Any]] = [[], [None], [{}], ["gate"], [b"\x00"], [1, 2, 3]]
    for arguments in some:
        failed = await failure(stage, *arguments, workflow=workflow)
        assert (arguments, failed) == (arguments, ("NotAnEntry", why))


async def test_a_workflow_type_that_does_not_exist_fails_readably(stage: Stage) -> None:
    _, why = await failure(stage, {}, workflow="Jorney")
    assert why == "There is no workflow type 'Jorney' here: start 'Journey'"


async def test_a_pinned_version_is_followed_although_a_newer_one_is_published(stage: Stage) -> None:
    await publish_gate(stage)
    await publish_gate(stage, step="exit: newer")
    handle = await begin(stage, {**entry(), "scenario": "gate@1"})
    assert (await handle.result())["reason"] == "in"
    assert (await stage.result(await begin(stage, entry())))["reason"] == "newer"
    stored = await stage.entry("gate/7/A1")
    assert (stored.contact_id, stored.key, stored.outcome, stored.reason) == ("7", "A1", "exited", "newer")
    assert await stage.store.running("7") == []


async def test_an_argument_that_cannot_be_decoded_fails_the_workflow_readably(stage: Stage) -> None:
    broken = RawValue(Payload(metadata={"encoding": b"json/plain"}, data=b'{"scenario": '))
    assert await failure(stage, broken) == (
        "NotJson",
        "The argument cannot be read: it is not JSON (line 1, column 14)",
    )


async def test_an_entry_that_another_worker_can_decrypt_waits_for_it(stage: Stage) -> None:
    sealed = Payload(metadata={"encoding": b"binary/encrypted", "encryption-key-id": b"0" * 32}, data=b"what")
    handle = await stage.client.start_workflow("Journey", RawValue(sealed), id="x", task_queue="journeys")
    failed: list[HistoryEvent] = []
    while not failed:
        await asyncio.sleep(0.05)
        events = (await handle.fetch_history()).events
        failed = [event for event in events if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED]
    failure = failed[0].workflow_task_failed_event_attributes.failure
    assert "set the same SCENARIO_STORE and SCENARIO_ENCRYPTION_KEYS" in failure.cause.message
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    await handle.terminate()


async def test_a_signal_that_cannot_be_decoded_harms_nothing(stage: Stage) -> None:
    await publish_gate(stage, step="wait: 1d")
    handle = await begin(stage, entry())
    await handle.signal("event", RawValue(Payload(metadata={"encoding": b"binary/encrypted"}, data=b"\x00")))
    assert (await handle.result())["outcome"] == "finished"


# ---- by `Enter`, for those who cannot choose a workflow id


GOES_ON = (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED)
"""What a journey is that nobody stopped: the server's clock may have taken it to its end."""


async def start_enter(stage: Stage, argument: Any) -> dict[str, Any]:
    return await stage.client.execute_workflow(
        "Enter", argument, id="nightly-2026-11-26T12:00:00Z", task_queue="journeys", result_type=dict
    )


async def test_it_starts_the_journey_under_its_right_id_and_ends(stage: Stage) -> None:
    await publish_gate(stage, "when_finished", "wait: 30d")
    result = await start_enter(stage, entry())
    journey = stage.client.get_workflow_handle("gate/7/A1", run_id=result["run"])
    assert result == {"journey": "gate/7/A1", "run": result["run"], "already": False}
    described = await journey.describe()
    assert described.parent_id == "nightly-2026-11-26T12:00:00Z"
    assert described.typed_search_attributes.get(SCENARIO_NAME) == "gate"
    assert described.typed_search_attributes.get(CONTACT_ID) == "7"
    stored = await stage.entry("gate/7/A1")
    assert stored.run_id == result["run"]
    assert described.status in GOES_ON


async def test_a_journey_that_is_over_at_once_has_been_entered(stage: Stage) -> None:
    await publish_gate(stage, step="exit: done")
    assert (await start_enter(stage, entry()))["journey"] == "gate/7/A1"


async def test_it_may_be_cancelled_and_the_journey_goes_on(stage: Stage) -> None:
    await publish_gate(stage, "when_finished", "wait: 30d")
    handle = await stage.client.start_workflow("Enter", entry(), id="nightly", task_queue="journeys")
    while await stage.store.entry("gate/7/A1") is None:
        await asyncio.sleep(0.02)
    journey = stage.client.get_workflow_handle("gate/7/A1", result_type=dict)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert (await journey.describe()).status in GOES_ON


async def test_it_fails_where_the_contact_may_not_come_in(stage: Stage) -> None:
    await publish_gate(stage, "when_finished", "wait: 30d")
    entries = [
        (entry(price=20), "the entry rule of gate does not hold: order.total_price > 20"),
        (entry(contact=None), "the contact has no id: give 'contact.id'"),
        (entry(more=[[]] * (MOST_PARTS + 1)), TOO_MANY_PARTS),
        (entry(more=json.loads("[" * 150 + "]" * 150)), "the entry is nested too deeply"),
    ]
    for given, reason in entries:
        assert await failure_of(start_enter(stage, given)) == ("NotEntered", reason)


async def test_who_is_in_already_is_refused_or_joined_as_the_scenario_says(stage: Stage) -> None:
    await publish_gate(stage, "when_finished", "wait: 30d")
    await stage.start("gate", entry()["trigger"], contact={"id": 7}, identifier="gate/7/A1")
    refused = "the contact is in gate already, as gate/7/A1"
    with stage.environment.auto_time_skipping_disabled():  # or the journey would be over
        assert await failure_of(start_enter(stage, entry())) == ("NotEntered", refused)
        await publish_gate(stage, step="wait: 30d")
        assert await start_enter(stage, entry()) == {"journey": "gate/7/A1", "run": None, "already": True}


@pytest.mark.parametrize("time", ["2026-11-26T12:00:00Z", "2026-11-26T12:00:00.25Z"])
async def test_a_schedule_that_would_start_a_journey_itself_is_told_how(stage: Stage, time: str) -> None:
    await publish_gate(stage, "when_finished", "wait: 30d")
    result = await stage.run("gate", entry()["trigger"], contact={"id": 7}, identifier=f"gate/7/A1-{time}")
    assert result["reason"] == (
        "a Temporal Schedule appends the time to the workflow id, and so cannot start a Journey: "
        "let it start the workflow type Enter, with the same argument"
    )


# ---- before a worker has admitted the contact


LATE = """
scenario: late
trigger: segment
entry: {if: contact.email != blank}
exit: [{event: order.returned}]
steps:
  - {sms: first, text: "{{ contact.firstname }}"}
  - wait_for: order.delivered
  - {sms: second, text: hi}
"""
COMPARED = """
scenario: compared
trigger: segment
control: 99.99
goal: {event: order.placed, within: 7d}
steps:
  - wait: 1d
"""
Journey = WorkflowHandle[Any, dict[str, Any]]


async def operated(stage: Stage, journey: Journey, *updates: str, **more: Any) -> list[asyncio.Task[dict[str, Any]]]:
    """Send updates, one after the other, that nobody answers yet."""
    return [await stage.begin(journey, update, WHO | more) for update in updates]


async def test_what_is_told_before_admission_holds_from_the_first_step(deserted: Stage) -> None:
    await deserted.publish(LATE)
    returned = await deserted.start("late")
    changed = await deserted.start("late", contact={"firstname": "Zoe"})
    await returned.signal("event", {"name": "order.returned", "properties": {"order_id": 1}})
    await changed.signal("contact_changed", {"firstname": "Zoé"})
    await changed.signal("event", {"name": "order.delivered"})
    async with deserted.working():
        result = await deserted.result(returned)
        assert (result["outcome"], result["reason"]) == ("exited", "event order.returned")
        steps = [("first", "delivered"), ("wait_for-2", "event"), ("second", "delivered")]
        assert outcomes(await deserted.result(changed)) == steps
    [attempt] = deserted.channels.of("first")
    assert attempt.delivery.data["contact"]["firstname"] == "Zoé"


async def test_an_operation_waits_for_admission(deserted: Stage) -> None:
    await deserted.publish(LATE)
    leaving, skipping, nameless = [await deserted.start("late") for _ in range(3)]
    unwelcome = await deserted.start("late", contact={"email": ""})
    left, again = await operated(deserted, leaving, "leave", "leave")
    [skipped] = await operated(deserted, skipping, "skip_step")
    [twice] = await operated(deserted, skipping, "skip_step", step="second")
    [refused] = await operated(deserted, unwelcome, "leave")
    unsaid = await deserted.begin(nameless, "leave", {"reason": "incident 42"})
    async with deserted.working():
        result = await deserted.result(leaving)
        assert (result["outcome"], result["reason"]) == ("exited", "left by ann: incident 42")
        assert (await left)["state"] == "leaving"
        assert await refusal(again) == "the journey is over"
        assert (await skipped)["at"] == "first"
        assert "skipped already" in await refusal(twice)
        await deserted.until(skipping, "waiting")
        assert await refusal(refused) == "the journey is over (refused)"
        assert (await deserted.result(unwelcome))["outcome"] == "refused"
        assert "'operator' is missing" in await refusal(unsaid)
        await deserted.until(nameless, "waiting")
    [attempt] = deserted.channels.attempts
    assert f"late/{attempt.delivery.contact}" == nameless.id


async def test_a_journey_paused_before_admission_starts_no_step(deserted: Stage) -> None:
    await deserted.publish(LATE)
    journey = await deserted.start("late")
    retried, paused = await operated(deserted, journey, "retry_step", "pause")
    async with deserted.working():
        assert await refusal(retried) == "nothing to retry: the journey is not held"
        assert (await paused)["state"] == "paused"
        await deserted.until(journey, "paused")
        assert deserted.channels.attempts == []
        await deserted.operate(journey, "resume", WHO)
        await deserted.attempted("first")


async def test_a_goal_reached_before_admission_counts_for_those_who_get_nothing(deserted: Stage) -> None:
    await deserted.publish(COMPARED)
    journey = await deserted.start("compared")
    await journey.signal("event", {"name": "order.refused"})
    await journey.signal("event", {"name": "order.placed"})
    async with deserted.working():
        assert (await deserted.result(journey))["outcome"] == "control"
    entry = await deserted.entry(journey.id)
    assert entry.reached_at is not None


# ---- what is drawn at admission: the scenario's control group, the workspace's holdout, and branches

CAMPAIGN = """
scenario: campaign
trigger: segment
entry: {again: always}
control: 50
steps:
  - {split: {a: 50, b: 50}, id: tone}
  - {split: {a: 50, b: 50}, id: lane, by: journey}
  - {split: {a: 50, b: 50}, id: shop, by: "{{ contact.custom.shop }}"}
  - {split: {a: 50, b: 50}, id: day, by: "{{ today }}"}
  - {sms: offer, text: hi}
"""
CONTROL = apart("campaign/control", "control", 5000)
KEPT = next(contact for contact in range(1, 30) if CONTROL.draw(str(contact)).name)
OTHER = next(contact for contact in range(1, 30) if not CONTROL.draw(str(contact)).name)
HOLDOUT = Holdout.model_validate({"share": 40, "seed": "2026-q4"})


async def admit(store: Store, contact: int, holdout: Holdout | None = None, run: str = "run-1") -> AdmissionResult:
    who: dict[str, Any] = {"id": contact, "custom": {"shop": 12}}
    entry = {"scenario": "campaign", "contact": who, "trigger": {"type": "segment"}}
    admissions = AdmissionActivities(Content(store), store, PlatformDates("Europe/Paris"), lambda: holdout)
    now = "2026-11-01T00:00:00+00:00"
    return await admissions.admit(Admission(entry=entry, workflow_id=f"campaign/{contact}", run_id=run, now=now))


async def test_who_is_kept_for_comparison_and_what_is_drawn_is_on_record(store: Store) -> None:
    await publish(store, CAMPAIGN)
    why = f"in the control group ({CONTROL.draw(str(KEPT)).why})"
    for run in ("run-1", "run-2"):  # at every entry
        admitted = await admit(store, KEPT, run=run)
        assert (admitted.outcome, admitted.reason, bool(admitted.plan)) == ("control", why, False)
        entry = present(await store.entry(f"campaign/{KEPT}", run))
        assert (entry.outcome, entry.reason, entry.branches) == ("control", why, None)
        assert entry.ended_at == entry.admitted_at

    drawn = apart(HOLDOUT.seed, "holdout", HOLDOUT.share)
    contact = next(number for number in range(30, 60) if drawn.draw(str(number)).name)
    held_out = await admit(store, contact, HOLDOUT)
    assert held_out.reason == f"held out of all marketing, 2026-q4 ({drawn.draw(str(contact)).why})"
    assert (held_out.outcome, bool(held_out.plan)) == ("holdout", False)
    assert await admit(store, contact) == held_out, "asked again, it answers what is on record"

    assert (await admit(store, OTHER)).outcome == ""
    entry = present(await store.entry(f"campaign/{OTHER}"))
    halves = {"a": 5000, "b": 5000}
    assert entry.branches == {
        name: Lot(seed=f"campaign/{name}", shares=halves).draw(unit).name
        for name, unit in (("tone", str(OTHER)), ("lane", f"campaign/{OTHER}"), ("shop", "12"))
    }
    # A journey that is reset is let in again though it was over.
    await store.depart(entry.workflow_id, entry.run_id, "finished", None, entry.admitted_at)
    admitted = await admit(store, OTHER)
    assert (admitted.outcome, bool(admitted.plan)) == ("", True)
