"""What a journey does that somebody has reset: it sends again under the same id, as it was sent at first."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHandle

from activities.interface import LastAttempt
from scenario.steps.delivery import delivery_id
from tests.factories import attempt
from tests.workflows.conftest import WHO, Stage, outcomes
from workflows.delivery import DeliveryRunner

SENDS = """
scenario: again
trigger: segment
steps:
  - wait_for: go
  - {sms: text, text: "{{ now }}"}
"""
FIRST = "2026-03-02T09:30:00+01:00"
"""The time with which it was sent before the reset."""


@pytest.fixture(autouse=True)
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


@pytest.mark.parametrize("continued", [False, True], ids=["in the run of the reset", "in the one that continues it"])
async def test_it_is_sent_with_the_time_of_before(stage: Stage, monkeypatch: pytest.MonkeyPatch, continued: bool):
    long_run = ""

    def suggests(info: workflow.Info) -> bool:
        return info.run_id == long_run

    monkeypatch.setattr(workflow.Info, "is_continue_as_new_suggested", suggests)
    handle = await sent_before(stage)
    newest = stage.client.get_workflow_handle(handle.id)
    if continued:
        long_run = handle.first_execution_run_id or ""  # and no later run: it would end under the signal below
        await handle.signal("event", {"name": "whatever"})
        await stage.continued(handle)
    await newest.signal("event", {"name": "go"})
    await stage.result(handle)
    assert [attempt.delivery.now for attempt in stage.channels.of("text")] == [FIRST]


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
