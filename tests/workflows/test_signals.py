"""Events: early, repeated, unwanted; and one that would end the journey while its last step ends."""

import asyncio
from typing import Any

from temporalio.worker import Worker

from activities.admission import AdmissionActivities
from activities.channel_registry import SMS
from activities.content import Content
from activities.decision import decide
from activities.interface import Delivery, Sent
from tests.workflows.conftest import Stage, no_activity, outcomes, worker
from workflows.journey import Journey

WAITS = """
scenario: waits
trigger: order
steps:
  - wait: 1d
  - wait_for: order.delivered
    if: event.order_id == order.external_id
    for: 7d
    since: SINCE
    then: [{sms: delivered, text: "{{ event.carrier }}"}]
    else: [{sms: late, text: late}]
"""
ORDER = {"type": "order", "order": {"external_id": "CGX0094"}}


def delivered(order: str, **more: Any) -> dict[str, Any]:
    return {"name": "order.delivered", "properties": {"order_id": order, "carrier": "Colissimo"}, **more}


async def test_events_that_no_step_names_are_not_kept_and_a_repeated_id_counts_once(stage: Stage) -> None:
    await stage.publish(WAITS.replace("SINCE", "entry").replace("wait: 1d", "wait_for: go"))
    handle = await stage.start("waits", ORDER)
    await handle.signal("event", {"name": "page.viewed", "properties": {}})
    for _ in range(3):
        await handle.signal("event", delivered("x", id="e-1"))
    await handle.signal("event", delivered("x", id="e-2"))
    progress = await handle.query("progress")
    assert [event["name"] for event in progress["events"]] == ["order.delivered", "order.delivered"]
    assert (await stage.until(handle, "waiting"))["waiting"] == {"for": "event go", "until": None}
    await handle.terminate()


async def test_an_event_happened_when_it_says_but_never_in_times_to_come(stage: Stage) -> None:
    await stage.publish(WAITS.replace("SINCE", "entry").replace("wait: 1d", "wait_for: go"))
    handle = await stage.start("waits", ORDER)
    past, to_come = "2026-01-02T03:04:05+00:00", "9999-12-31T23:59:59-23:59"
    for at in ("2026-01-02T05:04:05+02:00", to_come, "2026-01-02T03:04:05", "yesterday", 7, None):
        await handle.signal("event", delivered("x", at=at))
    times = [event["at"] for event in (await handle.query("progress"))["events"]]
    assert times[0] == past
    assert len(times) == 6
    assert all(past < at < to_come for at in times[1:])
    await handle.terminate()


async def test_a_message_that_is_no_event_harms_nothing(stage: Stage) -> None:
    await stage.publish(WAITS.replace("SINCE", "entry"))
    handle = await stage.start("waits", ORDER)
    await handle.signal("event", args=[])
    misshapen = {"name": "order.delivered", "properties": "x"}
    messages: list[Any] = [None, 3, "order.delivered", [], {}, {"name": 7}, misshapen]
    for message in messages:
        await handle.signal("event", message)
        await handle.signal("event", args=[message, 1, 2])
        await handle.signal("contact_changed", message)
        await handle.signal("no_such_signal", message)
    assert (await handle.result())["steps"][1]["outcome"] == "timeout"


ENDS = """
scenario: ends
trigger: segment
exit: [{event: gone, if: event.sure == true}]
steps:
  - {sms: last, text: Bye}
"""


async def test_a_journey_whose_last_step_ends_while_an_exit_rule_is_evaluated_finishes(deserted: Stage) -> None:
    released = asyncio.Event()

    async def wait(_: Delivery, number: int) -> Sent:
        await released.wait()
        return Sent(attempt=number)

    deserted.channels.scripts["last"] = wait
    admissions = AdmissionActivities(Content(deserted.store), deserted.store, "Europe/Paris")

    def journeys() -> Worker:
        own = [admissions.admit, admissions.depart, decide]
        # Without a cache: the server would keep the next task for the worker that is gone.
        once: dict[str, Any] = {"max_cached_workflows": 0, "max_concurrent_workflow_task_polls": 1}
        return worker(deserted.client, [Journey], own, **once)

    async with Worker(deserted.client, task_queue=SMS.queue, activities=[deserted.channels.send_sms]):
        await deserted.publish(ENDS)
        async with journeys():
            handle = await deserted.start("ends")
            await deserted.attempted("last")
        # Without a worker for journeys, the event and the end of the attempt come with the same workflow task.
        await handle.signal("event", {"name": "gone", "properties": {"sure": True}})
        released.set()
        await no_activity(handle)
    async with journeys():
        result = await handle.result()
    assert (result["outcome"], outcomes(result)) == ("finished", [("last", "delivered")])
