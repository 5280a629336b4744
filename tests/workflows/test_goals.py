"""A goal is counted once an entry: told to a journey under way, to one that leaves at it, to one that is over."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import WorkflowHandle

from activities.interface import GOAL, GoalEvent, GoalResult
from tests.stage import WHO, Stage, replay

GOALS = """
scenario: goals
trigger: order
goal: {event: order.placed, if: event.total > 0, within: 14d, value: "{{ event.total }}"}
EXIT
steps:
  - wait: 20d
  - sms: end
    text: end
"""


def placed(total: Any, **more: Any) -> dict[str, Any]:
    return {"name": "order.placed", "properties": {"total": total}, **more}


def goals(exits: str = "") -> str:
    return GOALS.replace("EXIT", exits and f"exit: [{exits}]")


async def begin(stage: Stage, text: str, identifier: int = 7) -> WorkflowHandle[Any, dict[str, Any]]:
    await stage.publish(text)
    order = {"type": "order", "order": {"external_id": "CGX0094"}}
    return await stage.start("goals", order, contact={"id": identifier})


async def reached(stage: Stage, handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
    return await stage.until(handle, lambda progress: progress["goal"]["reached_at"])


async def names(handle: WorkflowHandle[Any, Any]) -> list[str]:
    history = await handle.fetch_history()
    markers = [
        event.marker_recorded_event_attributes
        for event in history.events
        if event.marker_recorded_event_attributes.marker_name == "core_local_activity"
    ]
    data = [marker.details["data"].payloads[0].data.decode() for marker in markers]
    return [name for one in data for name in ("admit", "decide", "goal", "count", "depart") if f'"{name}"' in one]


async def test_a_journey_under_way_counts_its_goal_and_goes_on(stage: Stage) -> None:
    handle = await begin(stage, goals())
    await handle.signal("event", placed(0))
    await handle.signal("event", placed(49.90))
    await handle.signal("event", placed(1000))
    progress = await reached(stage, handle)
    assert progress["goal"] == {
        "event": "order.placed",
        "within": 14 * 86_400.0,
        "reached_at": progress["events"][1]["at"],
    }
    found = await stage.entry("goals/7")
    assert (found.goal_value, found.ended_at) == ("49.9", None)
    result = await stage.result(handle)
    assert [step["outcome"] for step in result["steps"]] == ["waited", "delivered"]
    assert (await stage.entry("goals/7")).goal_value == "49.9"
    assert await names(handle) == ["admit", "goal", "goal", "depart"]


@pytest.mark.parametrize(
    ("rule", "total", "value", "asked"), [(", if: event.total > 0", 12.5, "12.5", ["decide"]), ("", 0, None, [])]
)
async def test_an_event_that_also_ends_the_journey_ends_it_at_once_and_counts_if_it_meets_the_goal(
    stage: Stage, rule: str, total: float, value: str | None, asked: list[str]
) -> None:
    handle = await begin(stage, goals(f"{{event: order.placed{rule}}}"))
    await handle.signal("event", placed(total))
    result = await stage.result(handle)
    assert (result["outcome"], result["reason"]) == ("exited", "event order.placed")
    found = await stage.entry("goals/7")
    assert (found.goal_value, found.outcome, found.reached_at is None) == (value, "exited", value is None)
    assert await names(handle) == ["admit", *asked, "depart"]


async def test_what_comes_too_late_is_not_counted_and_asks_nobody(stage: Stage) -> None:
    handle = await begin(stage, goals())
    await stage.environment.sleep(timedelta(days=14, minutes=1))
    await handle.signal("event", placed(10))
    await stage.result(handle)
    assert (await stage.entry("goals/7")).reached_at is None
    assert await names(handle) == ["admit", "depart"]


async def test_what_happened_before_the_journey_is_not_counted_and_what_cannot_be_worked_out_is_on_record(stage: Stage):
    handle = await begin(stage, goals())
    while await stage.store.entry("goals/7") is None:
        await asyncio.sleep(0.02)
    before = (await stage.entry("goals/7")).admitted_at - timedelta(seconds=1)
    await handle.signal("event", placed(5, at=before.isoformat()))
    await handle.signal("event", placed("much"))
    await handle.signal("event", placed(10**13))
    progress = await reached(stage, handle)
    assert [one["what"] for one in progress["passed_over"]] == ["goal order.placed", "value of goal order.placed"]
    assert progress["passed_over"][1]["reason"] == "it is not a number"
    assert (await stage.entry("goals/7")).goal_value is None, "not 5"
    await handle.terminate()


@pytest.mark.usefixtures("_always_suggested")
async def test_the_next_run_remembers_that_the_goal_is_reached(stage: Stage) -> None:
    text = goals().replace("  - wait: 20d\n", "  - wait: 1d\n  - wait: 1d\n  - wait: 1d\n  - wait: 1d\n")
    handle = await begin(stage, text)
    await handle.signal("event", placed(10))
    await stage.environment.sleep(timedelta(days=3, hours=1))
    later = stage.client.get_workflow_handle(handle.id)
    await later.signal("event", placed(1000))
    await stage.result(handle)
    first = stage.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    assert await names(first) == ["admit", "goal", "count"]
    assert await names(later) == ["depart"], "in the last run nobody asks any more"
    assert (await stage.entry("goals/7")).goal_value == "10"


async def test_a_store_that_does_not_answer_keeps_no_journey_and_its_departure_counts(deserted: Stage) -> None:
    asked = asyncio.Event()

    @activity.defn(name=GOAL.name)
    async def unanswered(_: GoalEvent) -> GoalResult:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    deserted.task_timeout = timedelta(seconds=1)  # signals come to a journey that waits for a local activity as late
    async with deserted.working(unanswered):
        handle = await begin(deserted, goals().replace("wait: 20d", "wait_for: go"))
        await handle.signal("event", placed(49))
        await asyncio.wait_for(asked.wait(), 60)
        await handle.signal("event", {"name": "go"})
        assert (await handle.result())["outcome"] == "finished"
    assert (await deserted.entry("goals/7")).goal_value == "49"
    await replay(await handle.fetch_history())


async def test_a_journey_that_goes_on_in_another_version_is_measured_by_its_first(stage: Stage) -> None:
    handle = await begin(stage, goals())
    await stage.until(handle, "waiting")
    await stage.publish(goals().replace("event: order.placed", "event: order.paid"))
    await stage.operate(handle, "migrate", {**WHO, "version": "newest"})
    await handle.signal("event", {"name": "order.paid", "properties": {"total": 100}})
    await handle.signal("event", placed(10))
    progress = await reached(stage, handle)
    assert (progress["scenario"], progress["goal"]["event"]) == ("goals@2", "order.placed")
    found = await stage.entry("goals/7")
    assert (found.version, found.entered_by, found.goal_value) == (2, 1, "10")
    await handle.terminate()


async def test_a_goal_that_came_with_a_later_version_is_not_that_of_earlier_journeys(
    stage: Stage,
) -> None:
    handle = await begin(stage, "\n".join(line for line in goals().splitlines() if not line.startswith("goal")))
    await stage.until(handle, "waiting")
    await stage.publish(goals())
    await stage.operate(handle, "migrate", {**WHO, "version": "newest"})
    await handle.signal("event", placed(10))
    assert (await handle.query("progress"))["goal"] is None
    await stage.result(handle)
    assert (await stage.entry("goals/7")).reached_at is None
    assert await names(handle) == ["admit", "depart"]
