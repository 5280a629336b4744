"""What must not stop a journey: bad or too much data, code that fails, things that happen in the same moment."""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle, WorkflowHistory
from temporalio.worker import Worker

from activities.failures import FailureKind
from scenario.errors import EntryError
from scenario.steps import host
from tests.stage import WHO, Stage, after, deep, failing, failure_of, no_activity, outcomes, refusal, replay
from tests.workflows.test_state import STATE
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


@pytest.fixture
async def absent(deserted: Stage) -> AsyncIterator[Stage]:
    """A stage whose journeys' worker comes and goes, so that several things are waiting for it when it comes back."""
    async with deserted.senders()[-1]:
        yield deserted


def back(stage: Stage) -> Worker:
    return stage.journeys(max_cached_workflows=0)


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
    absent: Stage, fails: bool, skips: bool, expected: list[tuple[str, str]]
) -> None:
    stage, go = absent, asyncio.Event()
    await stage.publish(HOOK)
    stage.channels.scripts["hook"] = after(go, failing(FailureKind.PERMANENT) if fails else None)
    async with back(stage):
        handle = await stage.start("hook")
        await stage.attempted("hook")
    skip = await stage.begin(handle, "skip_step", WHO) if skips else None
    if not skips:
        await handle.signal("event", {"name": "gone"})
    go.set()
    await no_activity(handle)
    async with back(stage):
        await over(handle)
        if skip is not None:
            await skip
    assert outcomes(await stage.result(handle)) == expected


@pytest.mark.parametrize("sure", [True, False])
async def test_a_journey_that_ends_while_an_event_is_looked_at_ends_well(absent: Stage, sure: bool) -> None:
    stage, go = absent, asyncio.Event()
    await stage.publish(HOOK.replace("event: gone", "event: gone, if: event.sure == true").replace("  - exit: end", ""))
    stage.channels.scripts["hook"] = after(go)
    async with back(stage):
        handle = await stage.start("hook")
        await stage.attempted("hook")
    # Nobody serves journeys now, so that both come with the next task.
    await handle.signal("event", {"name": "gone", "properties": {"sure": sure}})
    go.set()
    await no_activity(handle)
    async with back(stage):
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


async def test_strange_properties_stop_nothing_and_strange_data_change_nothing(stage: Stage) -> None:
    await stage.publish(PARKED)
    handle = await stage.start("parked", ORDERED, contact={"custom": {"a": 1}})
    strange: list[dict[str, Any]] = [deep(198), deep(101), {"a": {"x": 1}, "b": []}, {"a": 10**400, "b": 1}]
    for properties in strange:
        await handle.signal("event", {"name": "go", "properties": properties})
    patches: list[dict[str, Any]] = [
        {"custom": "x", "custom_fields": [{"name": "a", "value": 9}]},
        {"recommendations": [{"price": 10**400}]},
        {"custom": deep(198)},
        {"firstname": {"a": 1}},
        {"creation_date": []},
    ]
    for patch in patches:
        await handle.signal("contact_changed", patch)
    assert outcomes(await stage.result(handle))[0] == ("wait_for-1", "timeout")
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


WAITS = """
scenario: waits
trigger: order
steps:
  - wait_for: go
  - wait_for: order.delivered
    for: 7d
"""


async def test_an_event_that_a_step_names_is_kept_once_and_happened_when_it_says_but_not_in_times_to_come(stage: Stage):
    await stage.publish(WAITS)
    handle = await stage.start("waits", ORDERED)
    await handle.signal("event", {"name": "page.viewed", "properties": {}})
    for identifier in ("e-1", "e-1", "e-2", "e-1"):
        await handle.signal("event", {"name": "order.delivered", "id": identifier})
    past, to_come = "2026-01-02T03:04:05+00:00", "9999-12-31T23:59:59-23:59"
    for at in ("2026-01-02T05:04:05+02:00", to_come, "2026-01-02T03:04:05", "yesterday", 7, None):
        await handle.signal("event", {"name": "order.delivered", "at": at})
    progress = await stage.until(handle, "waiting")
    assert progress["waiting"] == {"for": "event go", "until": None}
    assert [event["name"] for event in progress["events"]] == ["order.delivered"] * 8
    times = [event["at"] for event in progress["events"][2:]]
    assert times[0] == past
    assert all(past < at < to_come for at in times[1:])
    await handle.terminate()


# ---- runs begun again, code that fails, and data that are too much

SENDS = """
scenario: sends
trigger: order
steps:
  - wait_for: go
  - webhook: hook
    url: https://hooks.example.com/a
    body: {a: "{{ contact.custom.a }}{{ contact.custom.b }}", c: "{{ order.custom.c }}{{ ticket.custom.c }}"}
  - {sms: last, text: "{{ contact.custom.a | size }} {{ contact.custom.b | size }}"}
"""
JUDGES = """
scenario: judges
trigger: segment
exit: [{event: seen, if: event.much > 5}, {event: seen, if: event.little > 5}]
steps:
  - {wait_for: go, if: event.much > 5, for: 30d}
"""
HISTORIES: Final = Path(__file__).parents[1] / "replay" / "histories"

LEAVES = """
scenario: leaves
trigger: segment
exit: [{event: gone, if: event.sure == true}]
steps:
  - wait: 30d
"""
ENTRY: dict[str, Any] = {"scenario": "unheard-of", "contact": {"id": 1}, "trigger": {"type": "segment"}}


def begun_by_cron(name: str, argument: Any = None) -> WorkflowHistory:
    """A recorded history as the one of a later run of a cron schedule, or of a workflow's retry policy."""
    history = json.loads((HISTORIES / f"{name}.json").read_text("utf-8"))
    started = history["events"][0]["workflowExecutionStartedEventAttributes"]
    started["continuedExecutionRunId"] = "the-run-before"
    started["cronSchedule"] = "* * * * *"
    if argument is not None:
        started["input"]["payloads"][0]["data"] = base64.b64encode(json.dumps(argument).encode()).decode()
    return WorkflowHistory.from_json(f"{name} {argument}", json.dumps(history))


async def test_a_run_that_cron_begins_anew_is_a_journey_of_its_own() -> None:
    recorded: list[tuple[str, Any]] = [
        ("refused", None),
        ("linear", None),
        ("no-entry", None),
        ("no-entry", {"entry": ENTRY}),
        ("no-entry", {"entry": ENTRY, "state": {}}),
        ("no-entry", {"entry": ENTRY, "state": "s"}),
        ("no-entry", {"entry": ENTRY, "state": {}, "more": 1}),
        ("no-entry", {"entry": ENTRY, "state": {**STATE, "version": "1"}}),
    ]
    await replay(*(begun_by_cron(name, argument) for name, argument in recorded))


async def test_an_event_that_cannot_be_dealt_with_is_no_silent_end_of_all_dealing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> dict[str, Any]:
        raise EntryError("this is a mistake in the code")

    monkeypatch.setattr(host, "event_root", broken)
    await stage.publish(LEAVES)
    handle = await stage.start("leaves")
    await handle.signal("event", {"name": "gone", "properties": {"sure": True}})
    assert (await failure_of(handle.result()))[1] == "this is a mistake in the code"


async def start(stage: Stage, *, a: str = "", c: str = "") -> WorkflowHandle[Any, Any]:
    """A journey of a contact with a custom field `a`, whose order has a custom field `c`."""
    await stage.publish(SENDS)
    order = {"type": "order", "order": {"external_id": "A", "custom": {"c": c}}}
    handle = await stage.start("sends", order, contact={"custom": {"a": a, "b": ""}})
    await stage.until(handle, "waiting")
    return handle


def passed_over(progress: dict[str, Any]) -> list[tuple[str, str, int]]:
    return [(one["what"], one["reason"], one["count"]) for one in progress["passed_over"]]


async def test_changes_that_would_make_a_contact_too_large_are_passed_over(stage: Stage) -> None:
    handle = await start(stage)
    patches: list[Any] = [
        {"custom": {"a": "a" * 700_000}},
        {"custom": {"b": "b" * 700_000}},
        {"custom": {"b": "é" * 700_000}},
        {"recommendations": [{}] * 20_000},
        {"custom": {"b": "small"}},
        ["no change"],
    ]
    for patch in patches:
        await handle.signal("contact_changed", patch)
    progress = await handle.query("progress")
    assert passed_over(progress) == [("contact_changed", "its argument must be one JSON object", 4)]
    await handle.signal("event", {"name": "go"})
    assert (await handle.result())["outcome"] == "finished"
    custom = stage.channels.of("hook")[0].delivery.data["contact"]["custom"]
    assert (len(custom["a"]), custom["b"]) == (700_000, "small")


async def test_a_contact_that_came_in_large_may_still_change(stage: Stage) -> None:
    handle = await start(stage, a="a" * 1_000_000)
    await handle.signal("contact_changed", {"custom": {"b": "b" * 100_000}})
    await handle.signal("contact_changed", {"custom": {"a": "short", "b": "b"}})
    assert passed_over(await handle.query("progress")) == [
        ("contact_changed", "the contact would be larger than 1024 KB", 1)
    ]
    await handle.signal("event", {"name": "go"})
    assert (await handle.result())["outcome"] == "finished"
    assert stage.channels.of("last")[0].delivery.data["contact"]["custom"] == {"a": "short", "b": "b"}


async def test_a_held_delivery_of_too_much_data_goes_on_once_the_contact_has_become_smaller(stage: Stage) -> None:
    handle = await start(stage, c="c" * 900_000)
    await handle.signal("contact_changed", {"custom": {"a": "a" * 900_000}})
    await handle.signal("event", {"name": "go"})
    held = await stage.until(handle, "held")
    assert (held["waiting"]["cause"], held["waiting"]["step"]) == ("template", "hook")
    await handle.signal("contact_changed", {"custom": {"a": "a"}})
    await stage.operate(handle, "retry_step", WHO)
    assert (await handle.result())["outcome"] == "finished"


async def test_conditions_that_cannot_be_worked_out_are_told_of(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    await stage.publish(JUDGES)
    handle = await stage.start("judges")
    await stage.until(handle, "waiting")
    for much in ("secret", "text", 3):
        await handle.signal("event", {"name": "seen", "properties": {"much": much, "little": 1}})
    await handle.signal("event", {"name": "go", "properties": {"much": "secret"}})
    progress = await stage.until(handle, lambda progress: len(progress["passed_over"]) == 2)
    why = "a number and a text cannot be compared: write event.much | number (line 1, column 12)"
    assert passed_over(progress) == [("exit rule seen", why, 2), ("step wait_for-1", why, 1)]
    told = [record.message.partition(" ignored")[0] for record in caplog.records if why in record.message]
    assert told == ["exit rule seen", "step wait_for-1"], "once each"
    await handle.signal("event", {"name": "seen", "properties": {"much": "secret", "little": 6}})
    assert (await handle.result())["outcome"] == "exited"
    assert "secret" not in caplog.text


async def test_what_an_operation_names_instead_of_a_step_is_not_told_back_at_length(stage: Stage) -> None:
    handle = await start(stage)
    steps: list[Any] = ["x" * 1_000_000, ["x" * 1_000_000], 10**400]
    for update, step in itertools.product(("leave", "skip_step"), steps):
        assert len(await refusal(stage.operate(handle, update, {**WHO, "step": step}))) < 500
