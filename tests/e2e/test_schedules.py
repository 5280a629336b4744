"""A Temporal Schedule admits a contact: by the workflow that starts journeys, since it cannot start one itself."""

from __future__ import annotations

import asyncio
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import (
    Schedule,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleHandle,
    ScheduleSpec,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.exceptions import ApplicationError

from tests.e2e.conftest import ROOT, Server, Stand, Stands, entry, environment, outcomes, publish

ONCE = """\
scenario: scheduled
trigger: segment
entry: {again: never}
steps:
  - sms: hi
    text: hi
"""
ENTRY = entry("scheduled", cellphone="+33612345678")


async def of_a_journey(standing: Stand) -> ScheduleHandle:
    action = ScheduleActionStartWorkflow("Journey", ENTRY, id="scheduled/1", task_queue="journeys")
    return await standing.client.temporal.create_schedule("straight", Schedule(action=action, spec=ScheduleSpec()))


async def as_documented(standing: Stand, environ: dict[str, str], program: Path, folder: Path) -> ScheduleHandle:
    text = (ROOT / "docs" / "run/entering.md").read_text("utf-8").replace("\\\n", "")
    [line] = [line.strip() for line in text.splitlines() if line.startswith("    temporal schedule create ")]
    (folder / "entry.json").write_text(json.dumps(ENTRY), "utf-8")
    process = await asyncio.create_subprocess_exec(
        program, *shlex.split(line)[1:], cwd=folder, env=environment(**environ)
    )
    assert await process.wait() == 0
    return standing.client.temporal.get_schedule_handle("weekly-digest")


async def triggered(standing: Stand, schedule: ScheduleHandle) -> WorkflowHandle[Any, dict[str, Any]]:
    before = (await schedule.describe()).info.num_actions
    await schedule.trigger()
    async with asyncio.timeout(60):
        while (info := (await schedule.describe()).info).num_actions == before:
            await asyncio.sleep(0.05)
    started = info.recent_actions[-1].action
    assert isinstance(started, ScheduleActionExecutionStartWorkflow)
    return standing.client.temporal.get_workflow_handle(started.workflow_id, result_type=dict)


async def test_a_schedule_lets_a_contact_in_once_and_fails_where_it_may_not(
    stand: Stands, server: Server, temporal_program: Path, tmp_path: Path
) -> None:
    async with stand() as standing:
        await publish(standing.client, tmp_path, ONCE)
        schedule = await as_documented(standing, server.environ, temporal_program, tmp_path)
        entering = await triggered(standing, schedule)
        assert entering.id.startswith("weekly-digest-20")
        entered = await entering.result()
        assert (entered["journey"], entered["already"]) == ("scheduled/1", False)
        view = await standing.client.show("scheduled/1")
        assert view.result is not None
        assert (view.run_id, outcomes(view.result)) == (entered["run"], [("hi", "delivered")])

        await asyncio.sleep(1.1)  # two actions of one second are one
        with pytest.raises(WorkflowFailureError) as caught:
            await (await triggered(standing, schedule)).result()
        assert isinstance(caught.value.cause, ApplicationError)
        assert caught.value.cause.message == "the contact was in scheduled before, and is admitted only once"

        refused = await (await triggered(standing, await of_a_journey(standing))).result()
        assert refused["reason"] == (
            "a Temporal Schedule appends the time to the workflow id, and so cannot start a Journey: "
            "let it start the workflow type Enter, with the same argument"
        )
