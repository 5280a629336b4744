"""What must never fail a workflow task over and over: runs that Temporal begins anew, and code that fails."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any, Final

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHistory
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer

from runtime.payloads import CONVERTER
from scenario import context
from scenario.errors import EntryError
from tests.workflows.conftest import Stage
from workflows.journey import Journey
from workflows.sandbox import sandbox

HISTORIES: Final = Path(__file__).parents[1] / "replay" / "histories"

LEAVES = """
scenario: leaves
trigger: segment
exit:
  - event: gone
    if: event.sure == true
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
    return WorkflowHistory.from_json("recorded/cron", json.dumps(history))


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("refused", None),
        ("linear", None),
        ("no-entry", None),
        ("no-entry", {"entry": ENTRY}),
        ("no-entry", {"entry": ENTRY, "state": {}}),
        ("no-entry", {"entry": ENTRY, "state": "s"}),
        ("no-entry", {"entry": ENTRY, "state": {}, "more": 1}),
    ],
)
async def test_a_run_that_cron_begins_anew_is_a_journey_of_its_own(name: str, argument: Any) -> None:
    history = begun_by_cron(name, argument)
    await Replayer(workflows=[Journey], workflow_runner=sandbox(), data_converter=CONVERTER).replay_workflow(history)


async def test_an_event_that_cannot_be_dealt_with_is_no_silent_end_of_all_dealing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> dict[str, Any]:
        raise EntryError("this is a mistake in the code")

    monkeypatch.setattr(context, "event_root", broken)
    await stage.publish(LEAVES)
    handle = await stage.start("leaves")
    await handle.signal("event", {"name": "gone", "properties": {"sure": True}})
    async with asyncio.timeout(20):
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert isinstance(caught.value.cause, ApplicationError)
    assert caught.value.cause.message == "this is a mistake in the code"
