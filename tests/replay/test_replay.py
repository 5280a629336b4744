"""Journeys that are under way go on after a change of the code: every recorded history is replayed."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
from opentelemetry.sdk.trace import TracerProvider
from pydantic import TypeAdapter
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import NondeterminismError

from runtime.data_converter import CONVERTER
from runtime.telemetry.tracing import JourneyIds, JourneyTracing
from scenario.errors import ScenarioError
from scenario.steps.registry import KINDS
from tests.replay.bursts import BURSTS, OTHERS, file_of
from tests.replay.record import FOLDER, RECORDINGS
from workflows.journey import Journey

HISTORIES = sorted(FOLDER.glob("*.json"))
PASSED = ("activities", "runtime", "scenario", "workflows.limits", "workflows.state")
"""What passes through the sandbox; it loads the other modules of `workflows`, which have code, anew for each run."""


def read(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(f"recorded/{path.stem}", path.read_text("utf-8"))


@cache
def events(path: Path) -> list[dict[str, Any]]:
    """Events as the file has them: reading it as a history takes a hundred times as long."""
    return json.loads(path.read_text("utf-8"))["events"]


def told(payloads: dict[str, Any]) -> Any:
    return json.loads(base64.b64decode(payloads["payloads"][0]["data"]))


def replayer(runner: WorkflowRunner, journey: type = Journey) -> Replayer:
    """With all that a worker brings along, its converter and its tracing."""
    return Replayer(
        workflows=[journey, *OTHERS],
        workflow_runner=runner,
        data_converter=CONVERTER,
        interceptors=[JourneyTracing(TracerProvider(id_generator=JourneyIds()))],
    )


def unsandboxed(journey: type = Journey) -> Replayer:
    return replayer(UnsandboxedWorkflowRunner(), journey)


def kinds_of(path: Path) -> set[str]:
    ended = events(path)[-1].get("workflowExecutionCompletedEventAttributes", {})
    result = told(ended["result"]) if "result" in ended else None
    steps = cast("dict[str, Any]", result).get("steps", ()) if isinstance(result, dict) else ()
    return {step["kind"] for step in steps}


async def test_recorded_histories_replay() -> None:
    """In the sandbox, which refuses what would answer otherwise in a replay. One replayer for all, as it takes time."""

    async def histories() -> AsyncIterator[WorkflowHistory]:
        for path in HISTORIES:
            yield read(path)

    sandbox = SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED))
    async with replayer(sandbox).workflow_replay_iterator(histories()) as results:
        failures = {one.history.workflow_id: one.replay_failure async for one in results if one.replay_failure}
    assert failures == {}


async def test_no_journey_builds_a_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes milliseconds, in a thread that on a busy machine has none to spare (TMPRL1101)."""
    built: list[Any] = []
    build = cast("Callable[..., None]", TypeAdapter.__init__)  # pyright: ignore[reportUnknownMemberType]

    def noted(self: Any, kind: Any, **more: Any) -> None:
        built.append(kind)
        build(self, kind, **more)

    replayer = unsandboxed()
    monkeypatch.setattr(TypeAdapter, "__init__", noted)
    for name in ("linear", "destination", "amended", "retuned", "recalled", "forks", "continued-2"):
        await replayer.replay_workflow(read(FOLDER / f"{name}.json"))
    assert built == []


def test_every_recording_and_every_step_kind_has_a_history() -> None:
    assert {path.stem for path in HISTORIES} >= RECORDINGS.keys() | set(map(file_of, BURSTS))
    assert {kind for path in HISTORIES for kind in kinds_of(path)} == set(KINDS)


def most_in_one_task(path: Path) -> int:
    """How many messages, timers and results reached a journey in one workflow task, at most."""
    counts, arrived = [0], 0
    for event in events(path):
        match event["eventType"].removeprefix("EVENT_TYPE_"):
            case "WORKFLOW_EXECUTION_SIGNALED" | "TIMER_FIRED" | "ACTIVITY_TASK_COMPLETED":
                arrived += 1
            case "WORKFLOW_TASK_COMPLETED":
                counts.append(arrived)
                arrived = 0
            case "WORKFLOW_EXECUTION_UPDATE_ACCEPTED":  # stands behind the task that accepted it
                counts[-1] += 1
            case _:
                pass
    return max(counts)


def test_several_messages_reach_a_journey_in_one_task() -> None:
    assert [name for name in BURSTS if most_in_one_task(FOLDER / f"{file_of(name)}.json") < 2] == []


@pytest.mark.parametrize("name", ["event-in-time", "several-in-time"])
def test_an_event_that_came_before_the_end_of_the_wait_counts_though_the_worker_was_away(name: str) -> None:
    ended = events(FOLDER / f"{file_of(name)}.json")[-1]["workflowExecutionCompletedEventAttributes"]
    assert told(ended["result"])["steps"][0]["outcome"] == "event"


def test_every_local_activity_is_recorded() -> None:
    markers = [
        event["markerRecordedEventAttributes"]
        for path in HISTORIES
        for event in events(path)
        if "markerRecordedEventAttributes" in event
    ]
    assert {
        told(marker["details"]["data"])["activity_type"]
        for marker in markers
        if marker["markerName"] == "core_local_activity"
    } == {
        *("admit", "identify", "depart", "decide", "clear", "amend", "retune"),
        *("recall", "renew", "adopt", "count", "goal", "release", "prune", "report_held"),
        *("freeze_audience_batch", "hold_audience"),
    }


def test_every_way_in_which_a_journey_is_reached_is_recorded() -> None:
    found = {event["eventType"].removeprefix("EVENT_TYPE_") for path in HISTORIES for event in events(path)}
    assert found >= {
        *("WORKFLOW_EXECUTION_SIGNALED", "WORKFLOW_EXECUTION_UPDATE_COMPLETED", "WORKFLOW_EXECUTION_CONTINUED_AS_NEW"),
        *("WORKFLOW_EXECUTION_CANCEL_REQUESTED", "ACTIVITY_TASK_CANCEL_REQUESTED", "ACTIVITY_TASK_FAILED"),
        *("TIMER_FIRED", "TIMER_CANCELED", "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES"),
    }


@workflow.defn(name="Journey", failure_exception_types=[ScenarioError])
class Hasty(Journey):
    """A journey after a careless change: it waits a moment before it does anything else."""

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> dict[str, Any]:
        await workflow.sleep(1)
        return await super().run(argument)


@pytest.mark.parametrize("name", ["linear", "continued-2", "waiting"])
async def test_a_change_of_the_commands_is_caught(name: str) -> None:
    with pytest.raises(NondeterminismError):
        await unsandboxed(Hasty).replay_workflow(read(FOLDER / f"{name}.json"))


@pytest.mark.parametrize(("was", "becomes"), [("send_email", "send_sms"), ("mail", "letter")])
async def test_a_step_that_schedules_another_activity_is_caught(was: str, becomes: str) -> None:
    text = (FOLDER / "linear.json").read_text("utf-8")
    changed = text.replace(f'"name": "{was}"', f'"name": "{becomes}"')
    changed = changed.replace(f'"activityId": "{was}"', f'"activityId": "{becomes}"')
    assert changed != text
    with pytest.raises(NondeterminismError):
        await unsandboxed().replay_workflow(WorkflowHistory.from_json("recorded/changed", changed))
