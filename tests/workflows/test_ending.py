"""What comes in the moment in which a journey ends anyway."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.admission import AdmissionActivities
from activities.channel_registry import SMS
from activities.content import Content
from activities.decision import decide
from activities.interface import JOURNEYS, Delivery, Sent
from runtime.store import Store
from tests.sandbox import sandbox
from tests.workflows.conftest import Channels, Desk, Stage
from workflows.journey import Journey

ENDS = """
scenario: ends
trigger: segment
exit:
  - event: gone
    if: event.sure == true
steps:
  - sms: last
    text: Bye
"""


@pytest.mark.parametrize("sure", [True, False])
async def test_a_journey_that_ends_while_an_event_is_looked_at_ends_well(
    environment: WorkflowEnvironment, tmp_path: Path, sure: bool
) -> None:
    released = asyncio.Event()

    async def wait(_: Delivery, number: int) -> Sent:
        await released.wait()
        return Sent(attempt=number)

    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        stage = Stage(environment, store, Channels(environment, scripts={"last": wait}), Desk())
        admissions = AdmissionActivities(Content(store), store, "Europe/Paris")

        def journeys() -> Worker:
            return Worker(
                environment.client,
                task_queue=JOURNEYS,
                workflows=[Journey],
                activities=[admissions.admit, admissions.depart, decide],
                workflow_runner=sandbox(),
                max_cached_workflows=0,  # else the server would keep the next task for the worker that is gone
                max_concurrent_workflow_task_polls=1,
            )

        async with Worker(environment.client, task_queue=SMS.queue, activities=[stage.channels.send_sms]):
            await stage.publish(ENDS)
            async with journeys():
                handle = await stage.start("ends")
                await stage.attempted("last")
            # Nobody serves journeys now, so that both come with the next task.
            await handle.signal("event", {"name": "gone", "properties": {"sure": sure}})
            released.set()
            async with asyncio.timeout(60):
                while (await handle.describe()).raw_description.pending_activities:
                    await asyncio.sleep(0.02)
        async with journeys(), asyncio.timeout(60):
            result = await handle.result()
    assert (result["outcome"], [step["outcome"] for step in result["steps"]]) == ("finished", ["delivered"])
