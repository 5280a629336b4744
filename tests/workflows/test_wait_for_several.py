"""A journey that waits for the first of several events."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.workflows.conftest import Stage

SEVERAL = """
scenario: several
trigger: order
exit: [{event: gone}]
steps:
  - wait: 1d
  - wait_for:
      order.delivered: {if: event.order_id == order.external_id, then: [{sms: arrived, text: "{{ event.carrier }}"}]}
      order.refused: {then: [{exit: refused}]}
      order.cancelled: {}
    for: 7d
    else: [{exit: late}]
  - sms: after
    text: "{{ event.name }}"
"""
ORDER: dict[str, Any] = {"type": "order", "order": {"external_id": "1"}}
WHO = {"operator": "ann", "reason": "seen"}


def event(name: str, **properties: Any) -> dict[str, Any]:
    return {"name": name, "properties": properties}


async def test_the_first_that_counts_opens_its_way_by_when_it_came(stage: Stage) -> None:
    await stage.publish(SEVERAL)
    early = await stage.start("several", ORDER)  # while the journey waits for something else
    for one in (event("order.delivered", order_id="2"), event("order.cancelled"), event("order.refused")):
        await early.signal("event", one)
    result = await stage.result(early)
    assert [(step["id"], step["outcome"], step.get("way")) for step in result["steps"]] == [
        ("wait-1", "waited", None),
        ("wait_for-2", "event", "order.cancelled"),
        ("after", "delivered", None),
    ]
    assert stage.channels.of("after")[0].delivery.data == {
        "contact": stage.channels.of("after")[0].delivery.data["contact"],
        "event": {"name": "order.cancelled"},
    }
    waiting = await stage.start("several", ORDER)
    await stage.environment.sleep(timedelta(days=2))
    progress = await stage.until(waiting, "waiting")
    assert progress["waiting"]["for"] == "event order.delivered or order.refused or order.cancelled"
    await waiting.signal("event", event("order.delivered", order_id="2"))
    await waiting.signal("event", event("order.delivered", order_id="1", carrier="Post"))
    assert (await stage.result(waiting))["steps"][1]["way"] == "order.delivered"
    assert stage.channels.of("arrived")[0].delivery.data["event"] == {"carrier": "Post"}


async def test_without_one_the_time_is_over_and_who_skips_it_goes_that_way(stage: Stage) -> None:
    await stage.publish(SEVERAL)
    result = await stage.run("several", ORDER)
    assert (result["reason"], result["steps"][1]["outcome"]) == ("late", "timeout")
    for operation in ("skip_step", "event"):
        handle = await stage.start("several", ORDER)
        await stage.environment.sleep(timedelta(days=2))
        if operation == "event":
            await handle.signal("event", event("gone"))
        else:
            await stage.operate(handle, operation, {**WHO, "step": "wait_for-2"})
        result = await stage.result(handle)
        assert (result["reason"], result["steps"][1]["outcome"]) == (
            ("event gone", "left") if operation == "event" else ("late", "skipped")
        )


@pytest.mark.usefixtures("_always_suggested")
async def test_it_goes_on_in_another_run(stage: Stage) -> None:
    await stage.publish(SEVERAL)
    handle = await stage.start("several", ORDER)
    await stage.environment.sleep(timedelta(days=2))
    for number in range(20):
        await handle.signal("event", event("order.delivered", order_id=f"x{number}"))
    newest = stage.client.get_workflow_handle(handle.id)
    await newest.signal("event", event("order.refused"))
    result = await stage.result(newest)
    assert (result["reason"], result["steps"][1]["way"]) == ("refused", "order.refused")


TOGETHER = """
scenario: NAME
trigger: order
steps:
  - STEP
  - sms: after
    text: "{{ event.n }}"
"""
WAITS = {
    "waiting": "wait_for: a.b\n    if: event.n == 2",
    "several": "wait_for: {a.b: {if: event.n == 2}, c.d: {if: event.n == 3}}",
    "repeating": "repeat: {every: 7d, times: 3, until: {event: a.b, if: event.n == 2}}\n"
    "    steps: [{sms: round, text: hi}]",
}


async def test_of_events_that_come_together_each_is_looked_at(stage: Stage) -> None:
    for name, step in WAITS.items():
        await stage.publish(TOGETHER.replace("NAME", name).replace("STEP", step))
        handle = await stage.start(name, ORDER)
        await stage.until(handle, "waiting")
        began = await stage.now()
        # The second comes while it is asked whether the first is the one.
        await asyncio.gather(*(handle.signal("event", event("a.b", n=number)) for number in (1, 1, 1, 2)))
        async with asyncio.timeout(60):
            await stage.attempted("after")
        attempt = stage.channels.attempts[-1]
        assert (attempt.delivery.step, attempt.delivery.data["event"]["n"]) == ("after", 2)
        assert attempt.at - began < timedelta(days=1)
        assert (await stage.result(handle))["steps"][-1]["id"] == "after"
        stage.channels.attempts.clear()
