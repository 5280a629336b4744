"""Schedules on a real server: one that lets contacts in, and the one that prunes the store."""

import asyncio
import json
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    ScheduleActionExecutionStartWorkflow,
    ScheduleActionStartWorkflow,
    ScheduleDescription,
    ScheduleHandle,
    ScheduleOverlapPolicy,
    ScheduleUpdate,
    ScheduleUpdateInput,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.retention import SCHEDULE, keep_schedule
from tests.e2e.conftest import ROOT, Server, Stand, Stands, entry, environment, outcomes, publish, until
from tests.factories import attempt

ONCE = """\
scenario: scheduled
trigger: segment
entry: {again: never}
steps:
  - sms: hi
    text: hi
"""
ENTRY = entry("scheduled", cellphone="+33612345678")


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


DAY = timedelta(days=1)


async def described(client: Client) -> ScheduleDescription:
    return await client.get_schedule_handle(SCHEDULE).describe()


async def started(client: Client) -> str:
    handle = client.get_schedule_handle(SCHEDULE)
    await handle.trigger()
    info = (await until(handle.describe, lambda found: found.info.recent_actions)).info
    return info.recent_actions[-1].action.workflow_id  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


def otherwise(part: str, **values: Any) -> Callable[[ScheduleUpdateInput], ScheduleUpdate]:
    def change(found: ScheduleUpdateInput) -> ScheduleUpdate:
        for name, value in values.items():
            setattr(getattr(found.description.schedule, part), name, value)
        return ScheduleUpdate(found.description.schedule)

    return change


OTHERWISE = (
    otherwise("action", static_summary="encrypted, by an earlier release"),
    otherwise("action", task_queue="elsewhere"),
    otherwise("action", retry_policy=RetryPolicy(maximum_attempts=3)),
    otherwise("spec", jitter=DAY),
    otherwise("policy", overlap=ScheduleOverlapPolicy.ALLOW_ALL),
)


@pytest.mark.encrypted
async def test_the_schedule_is_kept_as_the_setting_says_and_prunes(
    stand: Stands, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "activities.retention")
    async with stand() as place:
        client, store, now = place.client.temporal, place.client.store, datetime.now(UTC)
        await store.record([attempt(f"msg_{days}", started_at=now - days * DAY) for days in (200, 100)])
        # Two workers that start at once.
        await asyncio.gather(*(keep_schedule(client, "deliveries=180d,entries=2y") for _ in range(2)))
        found = (await described(client)).schedule
        assert found.policy.overlap is ScheduleOverlapPolicy.SKIP
        assert (found.spec.calendars[0].comment, found.spec.jitter) == ("deliveries=180d,entries=730d", 3 * DAY / 24)
        assert isinstance(found.action, ScheduleActionStartWorkflow)
        assert (found.action.workflow, found.action.task_queue) == ("Prune", "journeys")

        run = client.get_workflow_handle(await started(client), result_type=dict)
        assert run.id.startswith("scenario-retention-")
        assert (await run.result())["deleted"] == {"deliveries": 1}
        assert await (await run.describe()).static_summary() == "delete what is older: deliveries=180d,entries=730d"
        assert [item.delivery_id for item in await store.deliveries()] == ["msg_100"]

        handle = client.get_schedule_handle(SCHEDULE)
        await handle.pause(note="a migration is under way")
        for change in OTHERWISE:
            await handle.update(change)
            await keep_schedule(client, "deliveries=180d,entries=2y")
            again = (await described(client)).schedule
            assert (again.spec, again.policy) == (found.spec, found.policy)
            assert isinstance(again.action, ScheduleActionStartWorkflow)
            assert (again.action.task_queue, again.action.retry_policy) == ("journeys", None)
            # What cannot be read without the keys would end `temporal schedule describe` with an error.
            assert isinstance(again.action.static_summary, Payload)
            assert b"delete what is older" in again.action.static_summary.data
        caplog.clear()
        await keep_schedule(client, "deliveries=90d")
        assert [record.getMessage() for record in caplog.records] == [
            "the schedule scenario-retention is changed for SCENARIO_RETENTION=deliveries=90d; "
            "it was for deliveries=180d,entries=730d"
        ]
        changed = await described(client)
        assert changed.schedule.spec.calendars[0].comment == "deliveries=90d"
        assert (changed.schedule.state.paused, changed.schedule.state.note) == (True, "a migration is under way")
        await keep_schedule(client, "deliveries=90d")
        assert (await described(client)).info.last_updated_at == changed.info.last_updated_at  # left alone

        for _ in range(2):
            await keep_schedule(client, None)
        with pytest.raises(RPCError) as caught:
            await described(client)
        assert caught.value.status is RPCStatusCode.NOT_FOUND
