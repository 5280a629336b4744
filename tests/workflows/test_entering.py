"""Who comes in, who does not, and how it is said."""

import asyncio
from typing import Any

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import RawValue

from tests.workflows.conftest import Stage, deep, failure_of
from workflows.limits import MOST_PARTS, TOO_MANY_PARTS

GATE = """
scenario: gate
trigger: order
entry:
  key: "{{ order.external_id }}"
  again: AGAIN
  if: order.total_price > 20
steps:
  - exit: in
"""


def order(number: str = "A1", price: object = 30) -> dict[str, Any]:
    return {"type": "order", "order": {"external_id": number, "total_price": price}}


async def enter(stage: Stage, number: str = "A1", **more: Any) -> dict[str, Any]:
    contact = {"id": 7}
    identifier = more.pop("identifier", f"gate/7/{number}")
    return await stage.run("gate", more.pop("trigger", order(number)), contact=contact, identifier=identifier, **more)


async def test_coming_in_again_after_some_time(stage: Stage) -> None:
    await stage.publish(GATE.replace("AGAIN", '"after 30d"'))
    assert (await enter(stage))["outcome"] == "exited"
    refused = await enter(stage)
    assert refused["outcome"] == "refused"
    assert refused["reason"].startswith("the contact was in gate before, and is admitted again from ")
    await stage.environment.sleep(30 * 86_400)
    assert (await enter(stage))["outcome"] == "exited"


async def test_an_entry_that_may_not_come_in_ends_at_once_and_says_why(stage: Stage) -> None:
    await stage.publish(GATE.replace("AGAIN", "always"))
    whole: dict[str, Any] = {"scenario": "gate", "contact": {"id": 7}, "trigger": order()}
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
        handle = await stage.client.start_workflow(
            "Journey", {**whole, **change}, id="gate/7/A1", task_queue="journeys", result_type=dict
        )
        assert await handle.result() == {"outcome": "refused", "reason": reason, "version": None, "steps": []}


async def failure(stage: Stage, *arguments: Any, workflow: str = "Journey") -> tuple[str | None, str]:
    handle = await stage.client.start_workflow(workflow, args=arguments, id="x", task_queue="journeys")
    return await failure_of(handle.result())


async def test_an_argument_that_is_no_entry_fails_the_workflow_readably(stage: Stage) -> None:
    why = "The argument of a Journey must be one JSON object with 'scenario', 'contact' and 'trigger'"
    some: list[list[Any]] = [[], [None], [{}], [b"\x00"], [1, 2, 3]]
    for arguments in some:
        assert (arguments, await failure(stage, *arguments)) == (arguments, ("NotAnEntry", why))


async def test_a_workflow_type_that_does_not_exist_fails_readably(stage: Stage) -> None:
    _, why = await failure(stage, {}, workflow="Jorney")
    assert why == "There is no workflow type 'Jorney' here: start 'Journey'"


async def test_a_pinned_version_is_followed_although_a_newer_one_is_published(stage: Stage) -> None:
    await stage.publish(GATE.replace("AGAIN", "always"))
    await stage.publish(GATE.replace("AGAIN", "always").replace("exit: in", "exit: newer"))
    entry = {"scenario": "gate@1", "contact": {"id": 7}, "trigger": order()}
    handle = await stage.client.start_workflow(
        "Journey", entry, id="gate/7/A1", task_queue="journeys", result_type=dict
    )
    assert (await handle.result())["reason"] == "in"
    assert (await enter(stage))["reason"] == "newer"
    stored = await stage.store.entry("gate/7/A1")
    assert stored is not None
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
    await stage.publish(GATE.replace("AGAIN", "always").replace("exit: in", "wait: 1d"))
    contact = {"scenario": "gate", "contact": {"id": 7}, "trigger": order()}
    handle = await stage.client.start_workflow("Journey", contact, id="gate/7/A1", task_queue="journeys")
    await handle.signal("event", RawValue(Payload(metadata={"encoding": b"binary/encrypted"}, data=b"\x00")))
    assert (await handle.result())["outcome"] == "finished"
