"""What must never fail a workflow task over and over: runs begun again, code that fails, and data that are too much."""

import asyncio
import base64
import itertools
import json
from pathlib import Path
from typing import Any, Final

import pytest
from temporalio.client import WorkflowHandle, WorkflowHistory

from scenario.errors import EntryError
from scenario.steps import host
from tests.workflows.conftest import WHO, Stage, failure_of, refusal, replay
from tests.workflows.test_state import STATE

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
    while len((progress := await handle.query("progress"))["passed_over"]) < 2:
        await asyncio.sleep(0.02)
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
