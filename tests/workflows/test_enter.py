"""Whoever cannot choose a workflow id starts a workflow that starts the journey."""

import asyncio
import json
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError

from runtime.search_attributes import CONTACT_ID, SCENARIO_NAME
from tests.workflows.conftest import Stage, failure_of
from workflows.limits import MOST_PARTS, TOO_MANY_PARTS

GATE = """
scenario: gate
trigger: order
entry:
  key: "{{ order.external_id }}"
  again: AGAIN
  if: order.total_price > 20
steps:
  - STEP
"""


GOES_ON = (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED)
"""What a journey is that nobody stopped: the server's clock may have taken it to its end."""


def entry(price: object = 30, contact: Any = 7, **more: Any) -> dict[str, Any]:
    order = {"external_id": "A1", "total_price": price}
    return {"scenario": "gate", "contact": {"id": contact}, "trigger": {"type": "order", "order": order}, **more}


async def publish(stage: Stage, again: str = "when_finished", step: str = "wait: 30d") -> None:
    await stage.publish(GATE.replace("AGAIN", again).replace("STEP", step))


async def enter(stage: Stage, *arguments: Any, identifier: str = "nightly-2026-11-26T12:00:00Z") -> dict[str, Any]:
    handle = await stage.client.start_workflow(
        "Enter", args=arguments, id=identifier, task_queue="journeys", result_type=dict
    )
    return await handle.result()


async def failure(stage: Stage, *arguments: Any) -> tuple[str | None, str]:
    return await failure_of(enter(stage, *arguments))


async def test_it_starts_the_journey_under_its_right_id_and_ends(stage: Stage) -> None:
    await publish(stage)
    result = await enter(stage, entry())
    journey = stage.client.get_workflow_handle("gate/7/A1", run_id=result["run"])
    assert result == {"journey": "gate/7/A1", "run": result["run"], "already": False}
    described = await journey.describe()
    assert described.parent_id == "nightly-2026-11-26T12:00:00Z"
    assert described.typed_search_attributes.get(SCENARIO_NAME) == "gate"
    assert described.typed_search_attributes.get(CONTACT_ID) == "7"
    stored = await stage.store.entry("gate/7/A1")
    assert stored is not None
    assert stored.run_id == result["run"]
    assert described.status in GOES_ON


async def test_a_journey_that_is_over_at_once_has_been_entered(stage: Stage) -> None:
    await publish(stage, step="exit: done")
    assert (await enter(stage, entry()))["journey"] == "gate/7/A1"


async def test_it_may_be_cancelled_and_the_journey_goes_on(stage: Stage) -> None:
    await publish(stage)
    handle = await stage.client.start_workflow("Enter", entry(), id="nightly", task_queue="journeys")
    while await stage.store.entry("gate/7/A1") is None:
        await asyncio.sleep(0.02)
    journey = stage.client.get_workflow_handle("gate/7/A1", result_type=dict)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError):
        await handle.result()
    assert (await journey.describe()).status in GOES_ON


async def test_it_fails_where_the_contact_may_not_come_in(stage: Stage) -> None:
    await publish(stage)
    entries = [
        (entry(price=20), "the entry rule of gate does not hold: order.total_price > 20"),
        (entry(contact=None), "the contact has no id: give 'contact.id'"),
        (entry(more=[[]] * (MOST_PARTS + 1)), TOO_MANY_PARTS),
        (entry(more=json.loads("[" * 150 + "]" * 150)), "the entry is nested too deeply"),
    ]
    for given, reason in entries:
        assert await failure(stage, given) == ("NotEntered", reason)


async def test_it_fails_where_there_is_no_entry(stage: Stage) -> None:
    message = "The argument of Enter must be one JSON object with 'scenario', 'contact' and 'trigger'"
    some: list[list[Any]] = [[], ["gate"], [{}]]
    for arguments in some:
        assert (arguments, await failure(stage, *arguments)) == (arguments, ("NotAnEntry", message))


async def test_who_is_in_already_is_refused_or_joined_as_the_scenario_says(stage: Stage) -> None:
    await publish(stage)
    await stage.start("gate", entry()["trigger"], contact={"id": 7}, identifier="gate/7/A1")
    refused = "the contact is in gate already, as gate/7/A1"
    with stage.environment.auto_time_skipping_disabled():  # or the journey would be over
        assert await failure(stage, entry()) == ("NotEntered", refused)
        await publish(stage, again="always")
        assert await enter(stage, entry()) == {"journey": "gate/7/A1", "run": None, "already": True}


@pytest.mark.parametrize("time", ["2026-11-26T12:00:00Z", "2026-11-26T12:00:00.25Z"])
async def test_a_schedule_that_would_start_a_journey_itself_is_told_how(stage: Stage, time: str) -> None:
    await publish(stage)
    result = await stage.run("gate", entry()["trigger"], contact={"id": 7}, identifier=f"gate/7/A1-{time}")
    assert result["reason"] == (
        "a Temporal Schedule appends the time to the workflow id, and so cannot start a Journey: "
        "let it start the workflow type Enter, with the same argument"
    )
