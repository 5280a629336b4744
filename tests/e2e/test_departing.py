"""A departure in a workflow task that Temporal refuses, as something happened meanwhile."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import WorkflowHandle

from runtime.store import Attempt, AttemptWriter, Store
from tests.e2e.conftest import Gate, Stands, outcomes, publish

LEAVING = """
scenario: leaving
trigger: segment
exit: [{event: gone}]
steps:
  - webhook: hook
    url: https://hooks.example.com/a
    body: {}
"""
CAPS = "caps: [{name: a-day, at_most: 1, per: day}]\n"


WAITING = """
scenario: waiting
trigger: segment
"""
EVENT = "steps: [{wait_for: go, for: 1s, then: [{wait: 1d}], else: [{exit: late}]}]"
BRANCH = 'steps: [{wait: 1s}, {if: contact.firstname == "Zoe", then: [{wait: 1d}]}]'
EXIT = 'exit: [{event: gone, if: contact.firstname == "Zoé"}]\nsteps: [{wait: 1d}]'
CHANGED = ("contact_changed", {"firstname": "Zoe"})


def forgotten(_writer: AttemptWriter, _attempt: Attempt) -> None:
    """Take an attempt, and never write it down."""


@pytest.mark.parametrize(
    ("steps", "told", "meanwhile", "outcome"),
    [
        (EVENT, None, ("event", {"name": "go"}), "exited"),
        (BRANCH, None, CHANGED, "finished"),
        (EXIT, ("event", {"name": "gone"}), CHANGED, "exited"),
    ],
    ids=["event", "branch", "exit"],
)
async def test_a_journey_that_has_departed_does_not_go_on(
    stand: Stands,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: str,
    told: tuple[str, Any] | None,
    meanwhile: tuple[str, Any],
    outcome: str,
) -> None:
    departures = list[str]()
    depart = Store.depart
    async with stand() as stood:
        client = stood.client
        await publish(client, tmp_path, WAITING + steps)
        handle: WorkflowHandle[Any, dict[str, Any]] = client.temporal.get_workflow_handle("waiting/7", result_type=dict)

        async def over_a_signal(store: Store, workflow_id: str, run_id: str, outcome: str, *end: Any) -> None:
            """Depart, and let something happen before the workflow task ends."""
            await depart(store, workflow_id, run_id, outcome, *end)
            departures.append(outcome)
            if len(departures) == 1:
                await handle.signal(*meanwhile)

        monkeypatch.setattr(Store, "depart", over_a_signal)
        contact = {"id": "7", "firstname": "Zoé"}
        await client.enter({"scenario": "waiting", "contact": contact, "trigger": {"type": "segment"}})
        if told is not None:
            await handle.signal(*told)
        async with asyncio.timeout(60):
            result = await handle.result()
    assert (result["outcome"], departures) == (outcome, [outcome, outcome])


async def test_a_message_that_arrives_while_its_contact_leaves_is_on_record_as_delivered(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text(CAPS, "utf-8")
    monkeypatch.setenv("SCENARIO_POLICIES", str(policies))
    departures = list[tuple[str, datetime]]()
    depart = Store.depart

    async with Gate(hold=1) as gate, stand(gate=gate) as stood:
        client = stood.client
        await publish(client, tmp_path, LEAVING)
        entered = await client.enter({"scenario": "leaving", "contact": {"id": "7"}, "trigger": {"type": "segment"}})
        handle: WorkflowHandle[Any, dict[str, Any]] = entered.handle

        async def over_an_attempt(store: Store, workflow_id: str, run_id: str, outcome: str, *end: Any) -> None:
            """Depart, and let the attempt end before the workflow task does."""
            await depart(store, workflow_id, run_id, outcome, *end)
            departures.append((outcome, end[1]))
            gate.opened.set()
            while (await handle.describe()).raw_description.pending_activities:
                await asyncio.sleep(0.02)

        monkeypatch.setattr(Store, "depart", over_an_attempt)
        # As where the worker is killed before it has written the attempt down.
        monkeypatch.setattr(AttemptWriter, "put", forgotten)
        await gate.called(1)
        await handle.signal("event", {"name": "gone"})
        async with asyncio.timeout(60):
            result = await handle.result()
        history = await handle.fetch_history()
        entry = await client.store.entry(handle.id)
        passed = await client.store.passage_counts("leaving", datetime.now(UTC))
        claims = await client.store.claims_of("7", datetime.now(UTC) - timedelta(days=1))

    refused = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
    causes = [
        event.workflow_task_failed_event_attributes.cause
        for event in history.events
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
    ]
    assert causes == [refused]
    assert (result["outcome"], outcomes(result)) == ("exited", [("hook", "delivered")])
    (first, _), second = departures
    assert (first, second[0]) == ("exited", "exited")
    assert entry is not None
    assert (entry.outcome, entry.ended_at) == second
    assert [(one.step, one.outcome, one.total) for one in passed] == [("hook", "delivered", 1)]
    assert [one.channel for one in claims] == ["webhook"], "the place is not free for another message"
