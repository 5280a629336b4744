"""A departure in a workflow task that Temporal refuses, as something happened meanwhile."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import WorkflowHandle

from runtime.store import Attempt, AttemptWriter, Store
from tests.e2e.conftest import Gate, Stands, entry, outcomes, publish

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
CHANGED = ("contact_changed", {"firstname": "Zoe"})
DEPARTURES: dict[str, tuple[str, tuple[str, Any] | None, tuple[str, Any], str]] = {
    # The steps, what lets the journey depart, what happens meanwhile, and how it ends.
    "event": (
        "steps: [{wait_for: go, for: 1s, then: [{wait: 1d}], else: [{exit: late}]}]",
        None,
        ("event", {"name": "go"}),
        "exited",
    ),
    "branch": ('steps: [{wait: 1s}, {if: contact.firstname == "Zoe", then: [{wait: 1d}]}]', None, CHANGED, "finished"),
    "exit": (
        'exit: [{event: gone, if: contact.firstname == "Zoé"}]\nsteps: [{wait: 1d}]',
        ("event", {"name": "gone"}),
        CHANGED,
        "exited",
    ),
}


def forgotten(_writer: AttemptWriter, _attempt: Attempt) -> None:
    """Take an attempt, and never write it down."""


async def test_a_journey_that_has_departed_does_not_go_on(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    departures = defaultdict[str, list[str]](list)
    depart = Store.depart
    async with stand() as stood:
        client = stood.client

        def handle(name: str) -> WorkflowHandle[Any, dict[str, Any]]:
            return client.temporal.get_workflow_handle(f"{name}/7", result_type=dict)

        async def over_a_signal(store: Store, workflow_id: str, run_id: str, outcome: str, *end: Any) -> None:
            await depart(store, workflow_id, run_id, outcome, *end)
            name = workflow_id.partition("/")[0]
            departures[name].append(outcome)
            if len(departures[name]) == 1:
                await handle(name).signal(*DEPARTURES[name][2])

        monkeypatch.setattr(Store, "depart", over_a_signal)
        for name, (steps, told, *_) in DEPARTURES.items():
            await publish(client, tmp_path, f"scenario: {name}\ntrigger: segment\n{steps}\n")
            await client.enter(entry(name, "7", firstname="Zoé"))
            if told is not None:
                await handle(name).signal(*told)
        async with asyncio.timeout(60):
            ends = {name: (await handle(name).result())["outcome"] for name in DEPARTURES}
    assert ends == {name: outcome for name, (*_, outcome) in DEPARTURES.items()}
    assert departures == {name: [outcome, outcome] for name, outcome in ends.items()}


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
        entered = await client.enter(entry("leaving", "7"))
        handle: WorkflowHandle[Any, dict[str, Any]] = entered.handle

        async def over_an_attempt(store: Store, workflow_id: str, run_id: str, outcome: str, *end: Any) -> None:
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
        row = await client.store.entry(handle.id)
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
    assert row is not None
    assert (row.outcome, row.ended_at) == second
    assert [(one.step, one.outcome, one.total) for one in passed] == [("hook", "delivered", 1)]
    assert [one.channel for one in claims] == ["webhook"], "the place is not free for another message"
