"""Temporal's own commands, given to journeys on the real server: none of them leaves one stuck."""

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType, PendingActivityState
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.interface import DEPART, Departure
from scenario.words import Operation
from tests.e2e.conftest import Command, Gate, Server, Stand, Stands, entry, outcomes, publish, until
from tests.fakes import Ran
from tests.updates import until_admitted
from workflows.journey import Journey

pytestmark = pytest.mark.encrypted

SCENARIO = """
scenario: NAME
trigger: segment
exit:
  - event: gone
steps:
  - webhook: hook
    url: https://NAME.example.com/hook
    body: {contact: "{{ contact.id }}", at: "{{ now }}"}
    timeout: 1m
    retry: {initial_interval: 1h, backoff_coefficient: 2, maximum_interval: 6h}
  - wait_for: go
"""
UNREADABLE = ("held", "unknown", "its result cannot be read: whether it was delivered is not known")
BY_HAND = ("waiting", "delivered", "completed by hand")
WHO = '{"operator": "ann", "reason": "incident 42"}'
PENDING = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
STARTED = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
"""The two states of a delivery under way."""
ODD = ('"\\ud800"', "1" + 5_000 * "0", 300 * "[" + 300 * "]")
"""JSON to Temporal, and not to whoever reads it here: half a character, a number of 5,000 digits, 300 levels."""

RESULTS = {  # all that can be read, and not, is in the tests of `workflows/delivery_result.py`
    "null": UNREADABLE,
    ODD[2]: UNREADABLE,
    '"delivered"': BY_HAND,
    '{"outcome": "delivered", "attempt": 3, "status": 202, "of": "a newer worker"}': ("waiting", "delivered", None),
    '{"outcome": "skipped", "reason": "told by phone"}': ("waiting", "skipped", "completed by hand"),
}


def raw(text: str, encoding: str = "json/plain") -> RawValue:
    return RawValue(Payload(metadata={"encoding": encoding.encode()}, data=text.encode()))


WRONG = raw('{"name": 5, "properties": [], "operator": 7, "reason": {}, "step": [], "retry": 5}')
MESSAGES: tuple[list[RawValue], ...] = (
    [],
    *([raw(text)] for text in ("null", "5", "[1]", "{}", *ODD)),
    [WRONG],
    [raw("1"), raw('"two"'), raw("{}")],
    [raw("abc", "binary/plain")],
    [raw("", "binary/null")],
    [raw("abc", "binary/encrypted")],
    [raw("{}", "json/protobuf")],
)


@dataclass(frozen=True)
class Case:
    handle: WorkflowHandle[Any, Any]

    @property
    def at(self) -> tuple[str, ...]:
        return ("-w", self.handle.id)

    async def pending(self, state: Any) -> None:
        wanted = (state, 2 if state == PENDING else 1)
        await until(
            self.handle.describe,
            lambda run: wanted in [(one.state, one.attempt) for one in run.raw_description.pending_activities],
        )

    async def progress(self, *wanted: str) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while True:
                try:
                    found: dict[str, Any] = await self.handle.query("progress", rpc_timeout=timedelta(seconds=3))
                    if not wanted or found["state"] in wanted:
                        return found
                except RPCError:
                    pass  # asked while its workflow task failed: it is asked until it answers, or not
                await asyncio.sleep(0.05)

    async def stumbled(self) -> list[str]:
        events = [event async for event in self.handle.fetch_history_events()]
        failed = [
            event.workflow_task_failed_event_attributes.failure.message
            for event in events
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
        ]
        return [message for message in failed if "reset" not in message.lower()]


async def enter(stand: Stand, folder: Path, name: str, count: int) -> list[Case]:
    await publish(stand.client, folder, SCENARIO.replace("NAME", name))
    contacts = range(1, count + 1)
    entered = await asyncio.gather(*(stand.client.enter(entry(name, contact), settle=20) for contact in contacts))
    return [Case(stand.client.temporal.get_workflow_handle(journey.id)) for journey in entered]


async def test_whatever_a_delivery_is_completed_with_the_journey_goes_on_or_is_held(
    stand: Stands, temporal: Command, tmp_path: Path
) -> None:
    async def give(case: Case, result: str) -> tuple[str, str, str | None]:
        await case.pending(PENDING)
        assert await temporal("activity", "complete", *case.at, "-a", "hook", "--result", result) == Ran(0, "", "")
        found = await case.progress("held", "waiting")
        assert await case.stumbled() == []
        if found["state"] == "held":
            return "held", found["waiting"]["cause"], found["waiting"]["reason"]
        return "waiting", found["steps"][0]["outcome"], found["steps"][0].get("note")

    async with stand(fail={"/completed.example.com": [503]}) as standing:
        cases = await enter(standing, tmp_path, "completed", len(RESULTS))
        given = await asyncio.gather(*(give(case, result) for case, result in zip(cases, RESULTS, strict=True)))
        assert dict(zip(RESULTS, given, strict=True)) == RESULTS
        # And what was held obeys, the default.
        skipped = await temporal("workflow", "update", "execute", *cases[0].at, "--name", "skip_step", "-i", WHO)
        assert "held" in skipped.out
        assert outcomes(await cases[0].progress("waiting")) == [("hook", "skipped")]


async def test_messages_of_any_shape_stop_no_journey(stand: Stands, server: Server, tmp_path: Path) -> None:
    async with stand(fail={"/told.example.com": [503]}) as standing:
        [case] = await enter(standing, tmp_path, "told", 1)
        await case.pending(PENDING)
        engine: Any = (await server.connect()).get_workflow_handle(case.handle.id)  # it encrypts nothing
        for shape in MESSAGES:
            for name in ("event", "contact_changed", "delivery_delayed"):
                await engine.signal(name, args=shape)
            with pytest.raises(WorkflowUpdateFailedError):
                await engine.execute_update("skip_step", args=shape)
        await engine.signal("nobody_knows", WRONG)
        assert (await case.handle.query("progress", WRONG))["at"] == "hook"
        with pytest.raises(WorkflowQueryFailedError):
            await engine.query("nobody_knows", WRONG)
        for name in ("retry_step", "retune", "leave", "pause", "resume", "nobody_knows"):
            with pytest.raises(WorkflowUpdateFailedError):
                await engine.execute_update(name, WRONG)
        found = await case.progress()
        assert (found["state"], found["at"], found["operations"]) == ("retrying", "hook", [])
        assert {one["what"] for one in found["passed_over"]} == {"event", "contact_changed"}
        assert await case.stumbled() == []
        await standing.client.send(case.handle.id, Operation.LEAVE, operator="ann", reason="seen")
        assert (await case.handle.result())["reason"] == "left by ann: seen"


async def test_a_delivery_that_is_failed_by_hand_is_held_with_what_the_operator_said(
    stand: Stands, temporal: Command, tmp_path: Path
) -> None:
    details = [[], *(["--detail", detail] for detail in ('{"kind": 5}', ODD[2]))]

    async def give(case: Case, detail: list[str]) -> tuple[str, str]:
        await case.pending(STARTED)
        given = ("-a", "hook", "--reason", "told by phone", *detail)
        assert await temporal("activity", "fail", *case.at, *given) == Ran(0, "", "")
        waiting = (await case.progress("held"))["waiting"]
        assert await case.stumbled() == []
        return waiting["cause"], waiting["reason"]

    async with Gate(hold=len(details)) as gate, stand(gate=gate) as standing:
        cases = await enter(standing, tmp_path, "failed", len(details))
        given = await asyncio.gather(*(give(case, detail) for case, detail in zip(cases, details, strict=True)))
        assert given == [("permanent", "failed by hand: told by phone")] * len(details)
        gate.opened.set()


async def test_a_journey_that_is_reset_sends_again_under_the_same_id_and_with_the_same_bytes(
    stand: Stands, temporal: Command, tmp_path: Path
) -> None:
    """To its beginning, to a point behind what was sent, and once it is over."""
    async with Gate(hold=0) as gate, stand(gate=gate) as standing:
        first, last, over = await enter(standing, tmp_path, "reset", 3)
        await asyncio.gather(*(case.progress("waiting") for case in (first, last, over)))
        await over.handle.signal("event", {"name": "go"})
        assert (await over.handle.result())["outcome"] == "finished"
        await asyncio.sleep(1.1)  # `now` has seconds: one that is worked out again differs
        sent = {(call.delivery, call.body) for call in gate.calls}
        assert (len(gate.calls), len(sent)) == (3, 3)
        for case, kind in ((first, "FirstWorkflowTask"), (last, "LastWorkflowTask"), (over, "FirstWorkflowTask")):
            said = await temporal("workflow", "reset", *case.at, "--type", kind, "--reason", "a reset")
            assert said.status == 0, said
        cases = [Case(standing.client.temporal.get_workflow_handle(case.handle.id)) for case in (first, last, over)]
        for case in cases[:2]:
            assert outcomes(await case.progress("waiting")) == [("hook", "delivered")]
        assert (await cases[2].handle.result())["outcome"] == "finished"  # Temporal told it of the event again
        assert [await case.stumbled() for case in cases] == [[], [], []]
        assert len(gate.calls) == 5  # the one that was reset to behind its sending did not send
        assert {(call.delivery, call.body) for call in gate.calls} == sent
        await until(lambda: standing.client.show(over.handle.id), lambda seen: len(seen.attempts) >= 2)


@activity.defn(name=DEPART.name)
async def depart(_: Departure) -> None:
    """Notes nothing."""


def suggests(_: workflow.Info) -> bool:
    return True


async def test_a_new_run_obeys_from_its_first_moment(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An update that comes with a run's first workflow task is dealt with before anything else of the run."""
    updates = ("skip_step", "leave", "pause")
    async with stand() as standing:
        cases = await enter(standing, tmp_path, "continued", len(updates))
        await asyncio.gather(*(case.progress("waiting") for case in cases))
        # Nobody serves that queue yet: the update is there before the run's first workflow task.
        monkeypatch.setattr(workflow, "continue_as_new", partial(workflow.continue_as_new, task_queue="later"))
        monkeypatch.setattr(workflow.Info, "is_continue_as_new_suggested", suggests)
        for case in cases:
            await case.handle.signal("event", {"name": "whatever"})
            await until(case.handle.describe, lambda run: run.task_queue == "later")
        monkeypatch.undo()
        given = [
            asyncio.create_task(cast("Any", case.handle).execute_update(update, json.loads(WHO), id=update))
            for case, update in zip(cases, updates, strict=True)
        ]
        client = standing.client.temporal
        for case, update in zip(cases, updates, strict=True):
            await until_admitted(client, case.handle.id, update)
        async with Worker(
            client,
            task_queue="later",
            workflows=[Journey],
            activities=[depart],
            workflow_runner=UnsandboxedWorkflowRunner(),
        ):
            answers = await asyncio.gather(*given)
        assert [[done["name"] for done in answer["operations"]] for answer in answers] == [
            [update] for update in updates
        ]
