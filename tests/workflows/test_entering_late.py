"""What a journey is told, and what operators do to it, before a worker has admitted it."""

import asyncio
from typing import Any

from temporalio.client import WorkflowHandle

from tests.workflows.conftest import WHO, Stage, outcomes, refusal

LATE = """
scenario: late
trigger: segment
entry: {if: contact.email != blank}
exit:
  - event: order.returned
steps:
  - sms: first
    text: "{{ contact.firstname }}"
  - wait_for: order.delivered
  - sms: second
    text: hi
"""
COMPARED = """
scenario: compared
trigger: segment
control: 99.99
goal: {event: order.placed, within: 7d}
steps:
  - wait: 1d
"""
Journey = WorkflowHandle[Any, dict[str, Any]]


async def operated(stage: Stage, journey: Journey, *updates: str, **more: Any) -> list[asyncio.Task[dict[str, Any]]]:
    """Send updates, one after the other, that nobody answers yet."""
    return [await stage.begin(journey, update, WHO | more) for update in updates]


async def test_an_event_told_before_admission_ends_the_journey(deserted: Stage) -> None:
    await deserted.publish(LATE)
    journey = await deserted.start("late")
    await journey.signal("event", {"name": "order.returned", "properties": {"order_id": 1}})
    async with deserted.working():
        result = await deserted.result(journey)
    assert (result["outcome"], result["reason"]) == ("exited", "event order.returned")
    assert deserted.channels.attempts == []


async def test_a_change_told_before_admission_is_used_by_the_first_step(deserted: Stage) -> None:
    await deserted.publish(LATE)
    journey = await deserted.start("late", contact={"firstname": "Zoe"})
    await journey.signal("contact_changed", {"firstname": "Zoé"})
    await journey.signal("event", {"name": "order.delivered"})
    async with deserted.working():
        result = await deserted.result(journey)
    assert outcomes(result) == [
        ("first", "delivered"),
        ("wait_for-2", "event"),
        ("second", "delivered"),
    ]
    assert deserted.channels.of("first")[0].delivery.data["contact"]["firstname"] == "Zoé"


async def test_an_operation_waits_for_admission(deserted: Stage) -> None:
    await deserted.publish(LATE)
    journey = await deserted.start("late")
    left, again = await operated(deserted, journey, "leave", "leave")
    async with deserted.working():
        result = await deserted.result(journey)
        assert (await left)["state"] == "leaving"
        assert await refusal(again) == "the journey is over"
    assert (result["outcome"], result["reason"]) == ("exited", "left by ann: incident 42")
    assert deserted.channels.attempts == []


async def test_a_journey_paused_before_admission_starts_no_step(deserted: Stage) -> None:
    await deserted.publish(LATE)
    journey = await deserted.start("late")
    retried, paused = await operated(deserted, journey, "retry_step", "pause")
    async with deserted.working():
        assert await refusal(retried) == "nothing to retry: the journey is not held"
        assert (await paused)["state"] == "paused"
        await deserted.until(journey, "paused")
        assert deserted.channels.attempts == []
        await deserted.operate(journey, "resume", WHO)
        await deserted.attempted("first")


async def test_a_step_skipped_before_admission_is_not_performed(deserted: Stage) -> None:
    await deserted.publish(LATE)
    journey = await deserted.start("late")
    skipped, other = (
        await operated(deserted, journey, "skip_step"),
        await operated(deserted, journey, "skip_step", step="second"),
    )
    async with deserted.working():
        assert (await skipped[0])["at"] == "first"
        assert "skipped already" in await refusal(other[0])
        await deserted.until(journey, "waiting")
    assert deserted.channels.attempts == []


async def test_an_operation_on_an_entry_that_is_refused_is_refused(deserted: Stage) -> None:
    await deserted.publish(LATE)
    journey = await deserted.start("late", contact={"email": ""})
    [left] = await operated(deserted, journey, "leave")
    async with deserted.working():
        assert await refusal(left) == "the journey is over (refused)"
        assert (await deserted.result(journey))["outcome"] == "refused"


async def test_an_operation_without_operator_is_refused_before_admission_too(deserted: Stage) -> None:
    await deserted.publish(LATE)
    journey = await deserted.start("late")
    left = await deserted.begin(journey, "leave", {"reason": "incident 42"})
    async with deserted.working():
        assert "'operator' is missing" in await refusal(left)
        await deserted.until(journey, "waiting")


async def test_a_goal_reached_before_admission_counts_for_those_who_get_nothing(deserted: Stage) -> None:
    await deserted.publish(COMPARED)
    journey = await deserted.start("compared")
    await journey.signal("event", {"name": "order.refused"})
    await journey.signal("event", {"name": "order.placed"})
    async with deserted.working():
        assert (await deserted.result(journey))["outcome"] == "control"
    entry = await deserted.store.entry(journey.id)
    assert entry is not None
    assert entry.reached_at is not None
