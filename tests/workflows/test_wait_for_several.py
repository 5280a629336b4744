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


def event(name: str, **properties: Any) -> dict[str, Any]:
    return {"name": name, "properties": properties}


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
