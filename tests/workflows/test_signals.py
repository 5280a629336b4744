"""Events: early, repeated, unwanted; and one that would end the journey while its last step ends."""

from typing import Any

from tests.workflows.conftest import Stage

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
