"""Events: waited for, come early, repeated, unwanted; and those that end the journey at once."""

from datetime import datetime, timedelta
from typing import Any

from activities.failures import FailureKind
from tests.workflows.conftest import Stage, failing
from workflows.limits import KEPT_EVENT_BYTES
from workflows.state import Event, State

WAITS = """
scenario: waits
trigger: order
steps:
  - wait: 1d
  - wait_for: order.delivered
    if: event.order_id == order.external_id
    for: 7d
    since: SINCE
    then:
      - sms: delivered
        text: "{{ event.carrier }}"
    else:
      - sms: late
        text: late
"""
ORDER = {"type": "order", "order": {"external_id": "CGX0094"}}


def delivered(order: str, **more: Any) -> dict[str, Any]:
    return {"name": "order.delivered", "properties": {"order_id": order, "carrier": "Colissimo"}, **more}


def outcomes(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["id"], step["outcome"]) for step in result["steps"]]


async def test_events_that_no_step_names_are_not_kept_and_a_repeated_id_counts_once(stage: Stage) -> None:
    await stage.publish(WAITS.replace("SINCE", "entry").replace("wait: 1d", "wait_for: go"))
    handle = await stage.start("waits", ORDER)
    await handle.signal("event", {"name": "page.viewed", "properties": {}})
    for _ in range(3):
        await handle.signal("event", delivered("x", id="e-1"))
    await handle.signal("event", delivered("x", id="e-2"))
    progress = await handle.query("progress")
    assert [event["name"] for event in progress["events"]] == ["order.delivered", "order.delivered"]
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
    assert outcomes(await handle.result())[1] == ("wait_for-2", "timeout")


LEAVES = """
scenario: leaves
trigger: order
exit:
  - event: order.returned
    if: event.order_id == order.external_id
steps:
  - webhook: hook
    url: https://hooks.example.com/a
    body: {}
    retry: {initial_interval: 5h, backoff_coefficient: 1, maximum_interval: 6h, deadline: 3d}
  - wait_for: never
"""


async def test_an_exit_event_ends_a_journey_whose_webhook_is_backing_off_for_hours(stage: Stage) -> None:
    await stage.publish(LEAVES)
    stage.channels.scripts["hook"] = failing(FailureKind.RETRY)
    handle = await stage.start("leaves", ORDER)
    await stage.attempted("hook")
    before = await stage.now()
    await handle.signal("event", {"name": "order.returned", "properties": {"order_id": "CGX0094"}})
    result = await handle.result()
    assert (result["outcome"], result["reason"]) == ("exited", "event order.returned")
    assert outcomes(result) == [("hook", "left")]
    assert len(stage.channels.of("hook")) == 1, "it did not wait for the next attempt"
    left = datetime.fromisoformat(result["steps"][0]["at"])
    assert left - before < timedelta(hours=3)  # on the server's clock, which skips whatever is waited for


async def test_an_exit_event_of_something_else_ends_nothing(stage: Stage) -> None:
    await stage.publish(LEAVES)
    handle = await stage.start("leaves", ORDER)
    await handle.signal("event", {"name": "order.returned", "properties": {"order_id": "another"}})
    progress = await stage.until(handle, "waiting")
    assert progress["waiting"] == {"for": "event never", "until": None}
    await handle.signal("event", {"name": "order.returned", "properties": {"order_id": "CGX0094"}})
    assert outcomes(await handle.result()) == [("hook", "delivered"), ("wait_for-2", "left")]


async def test_nothing_is_sent_once_the_contact_has_left(stage: Stage) -> None:
    await stage.publish(LEAVES)
    handle = await stage.client.start_workflow(
        "Journey",
        {"scenario": "leaves", "contact": {"id": 5}, "trigger": ORDER},
        id="leaves/5",
        task_queue="journeys",
        result_type=dict,
        start_signal="event",
        start_signal_args=[{"name": "order.returned", "properties": {"order_id": "CGX0094"}}],
    )
    result = await handle.result()
    assert outcomes(result) == [("hook", "left")]
    assert stage.channels.attempts == []


def test_the_oldest_events_are_forgotten_where_all_together_are_too_large() -> None:
    state = State(version=1, plan={}, zone="UTC", entered_at="t", root="r")
    third = {"text": "x" * (KEPT_EVENT_BYTES // 3 - 12)}
    for _ in range(4):
        state.keep(Event(name="a", properties=third))
    assert [event.number for event in state.events] == [2, 3, 4]
    state.keep(Event(name="a", properties={"half a character": "\ud800"}))
    assert [event.number for event in state.events] == [3, 4, 5]
    state.keep(Event(name="a", properties={"text": "x" * KEPT_EVENT_BYTES}))
    assert [event.number for event in state.events] == [6], "the newest is kept whatever it takes"


async def test_what_let_the_contact_in_stays_what_it_was(stage: Stage) -> None:
    await stage.publish("""
scenario: stock
trigger: event
entry: {key: "{{ trigger.properties.sku }}"}
exit: [{event: order.placed, if: event.sku == trigger.properties.sku}]
steps:
  - wait_for: stock.refilled
    if: event.sku == trigger.properties.sku and trigger.name == 'stock.watched'
  - webhook: look
    url: https://shop.example/{{ trigger.properties.sku }}
    method: GET
    save: {as: stock}
  - if: trigger.properties.sku == 'a/b' and event.count == 2 and journey.key == 'a/b'
    then:
      - sms: back
        text: "{{ trigger.properties.name }} {{ event.count }} {{ journey.key }} {{ journey.id }}"
""")
    watched = {"name": "stock.watched", "properties": {"sku": "a/b", "name": "Bag", "more": "x" * 100}}
    handle = await stage.start(
        "stock", {"type": "event", "event": watched}, identifier="stock/7/a/b", contact={"id": 7}
    )
    await handle.signal("event", {"name": "order.placed", "properties": {"sku": "another"}})
    await handle.signal("event", {"name": "stock.refilled", "properties": {"sku": "a/b", "count": 2}})
    result = await stage.result(handle)

    assert outcomes(result) == [("wait_for-1", "event"), ("look", "delivered"), ("if-3", "then"), ("back", "delivered")]
    assert stage.channels.of("look")[0].delivery.data == {"trigger": {"properties": {"sku": "a/b"}}}
    assert stage.channels.of("back")[0].delivery.data == {
        "event": {"count": 2},
        "journey": {"id": "stock/7/a/b", "key": "a/b"},
        "trigger": {"properties": {"name": "Bag"}},
        "contact": {"cellphone": "+33612345678", "language": None},
    }
