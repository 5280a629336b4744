"""What each kind of step does, and what the journey says of it."""

import itertools
import json
from datetime import UTC
from typing import Any

from temporalio.api.enums.v1 import EventType

from activities.failures import FailureKind
from tests.workflows.conftest import Stage, failing

FOUR = """
scenario: four
trigger: order
steps:
  - email: hello
    subject: Hi
    text: "{{ contact.firstname }} {{ order.external_id }}"
  - wait: 2d
  - webhook: hook
    url: https://hooks.example.com/a/{{ contact.id }}
    body: {order: "{{ order.external_id }}"}
  - sms: bye
    text: "{{ contact.custom.nick }}"
"""
ORDER: dict[str, Any] = {"type": "order", "order": {"external_id": "CGX0094", "total_price": "66.25", "products": []}}


async def test_a_journey_performs_its_steps_in_order_and_reports_them(stage: Stage) -> None:
    await stage.publish(FOUR)
    result = await stage.run("four", ORDER, contact={"id": 7, "firstname": "Zoé"})
    outcomes = [(step["id"], step["kind"], step["outcome"]) for step in result.pop("steps")]
    assert result == {"outcome": "finished", "reason": "", "version": "four@1"}
    assert outcomes == [
        ("hello", "email", "delivered"),
        ("wait-2", "wait", "waited"),
        ("hook", "webhook", "delivered"),
        ("bye", "sms", "delivered"),
    ]
    assert [attempt.channel for attempt in stage.channels.attempts] == ["email", "webhook", "sms"]


AT_ONCE = """
scenario: at-once
trigger: order
steps:
  - if: order.total_price > 20
    then:
      - email: first
        subject: Hi
        text: Hi
  - sms: second
    text: Hi
"""
LATER = """
scenario: later
trigger: order
steps:
  - wait: 1s
  - sms: only
    text: Hi
"""


async def test_only_a_first_message_that_nothing_waits_for_knows_since_when_the_journey_runs(stage: Stage) -> None:
    for text in (AT_ONCE, LATER):
        await stage.run((await stage.publish(text)).partition("@")[0], ORDER, contact={"id": 7})
    first, *others = stage.channels.attempts
    assert -1 < first.at.timestamp() - first.delivery.entered < 60
    assert [(other.delivery.step, other.delivery.entered) for other in others] == [("second", 0.0), ("only", 0.0)]


async def test_a_delivery_knows_when_the_workflow_task_began_that_decided_to_send(stage: Stage) -> None:
    await stage.publish(LATER)
    handle = await stage.start("later", ORDER)
    await stage.result(handle)
    events = (await handle.fetch_history()).events
    before = itertools.takewhile(lambda event: not event.HasField("activity_task_scheduled_event_attributes"), events)
    *_, began = (event for event in before if event.event_type is EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED)
    [attempt] = stage.channels.attempts
    assert attempt.delivery.decided == began.event_time.ToMilliseconds() / 1000
    assert attempt.delivery.now == began.event_time.ToDatetime(tzinfo=UTC).isoformat(timespec="seconds")


async def test_a_history_holds_of_a_delivery_what_its_activity_does_not_know(stage: Stage) -> None:
    await stage.publish(LATER)
    handle = await stage.start("later", ORDER)
    await stage.result(handle)
    [given] = [
        json.loads(event.activity_task_scheduled_event_attributes.input.payloads[0].data)
        async for event in handle.fetch_history_events()
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    [attempt] = stage.channels.attempts
    assert given.keys() == {"id", "scenario", "contact", "data", "on_unknown", "decided"}
    assert (attempt.delivery.step, attempt.delivery.room) == ("only", 30.0)


async def test_a_step_is_handed_only_the_fields_that_its_templates_name(stage: Stage) -> None:
    await stage.publish(FOUR)
    contact = {"id": 7, "firstname": "Zoé", "lastname": "O'Brien", "custom_fields": [{"name": "nick", "value": "Z"}]}
    await stage.run("four", ORDER, contact=contact)
    handed = {attempt.delivery.step: attempt.delivery.data for attempt in stage.channels.attempts}
    assert handed["hook"] == {"contact": {"id": "7"}, "order": {"external_id": "CGX0094"}}
    assert handed["bye"] == {
        "contact": {"cellphone": "+33612345678", "language": None, "custom": {"nick": "Z"}},
    }


LINES = """
scenario: lines
trigger: order
steps:
  - webhook: hook
    url: https://hooks.example.com/a
    body: {$for: p in order.products, $each: {name: "{{ p.name }}", quantity: "{{ p.quantity }}"}}
  - webhook: whole
    url: https://hooks.example.com/a
    body: {$for: p in order.products, $each: "{{ p }}"}
"""
PRODUCTS = [{"external_id": "10", "name": "A", "quantity": 2}, {"external_id": "11", "name": "B", "unit_price": 9}]


async def test_a_step_is_handed_only_the_fields_of_a_lists_items_that_its_templates_name(stage: Stage) -> None:
    await stage.publish(LINES)
    await stage.run("lines", {"type": "order", "order": {"external_id": "1", "products": PRODUCTS}})
    handed = {attempt.delivery.step: attempt.delivery.data for attempt in stage.channels.attempts}
    assert handed["hook"] == {"order": {"products": [{"name": "A", "quantity": 2}, {"name": "B", "quantity": None}]}}
    assert {"external_id", "unit_price"} < set(handed["whole"]["order"]["products"][0])


ONE = """
scenario: one
trigger: segment
steps:
  - webhook: hook
    url: https://hooks.example.com/a
    body: {a: 1}
    retry: {initial_interval: 10s, backoff_coefficient: 2, maximum_interval: 1h, deadline: 1d}
    on_failure: POLICY
  - exit: end
"""


async def test_a_delivery_is_tried_again_at_growing_intervals_under_one_id(stage: Stage) -> None:
    await stage.publish(ONE.replace("POLICY", "hold"))
    stage.channels.scripts["hook"] = failing(FailureKind.RETRY, times=4)
    result = await stage.run("one")
    attempts = stage.channels.of("hook")
    assert result["steps"][0] | {"at": ""} == {
        "id": "hook", "kind": "webhook", "outcome": "delivered", "at": "", "status": 200, "attempts": 5,
    }  # fmt: skip
    assert len({attempt.delivery.id for attempt in attempts}) == 1
    gaps = [(b.at - a.at).total_seconds() for a, b in itertools.pairwise(attempts)]
    first = gaps[0]
    assert 8 <= first <= 15  # ten seconds, moved by at most 20 %, and what this machine takes
    assert [round(gap / first) for gap in gaps] == [1, 2, 4, 8]


UNKNOWN = """
scenario: unknown
trigger: segment
steps:
  - sms: text
    text: hi
    on_unknown: continue
"""


async def test_an_unknown_outcome_can_be_passed_over_and_is_on_record(stage: Stage) -> None:
    await stage.publish(UNKNOWN)
    stage.channels.scripts["text"] = failing(FailureKind.UNKNOWN, status=None, reason="no answer came")
    result = await stage.run("unknown")
    assert [(step["id"], step["outcome"]) for step in result["steps"]] == [("text", "unknown")]
    assert (result["outcome"], result["reason"]) == ("finished", "")
    (stored,) = await stage.store.entries(scenario="unknown", limit=1)
    assert (stored.outcome, stored.reason) == ("finished", "1 of 1 deliveries failed")
