"""What each kind of step does, and what the journey says of it."""

import json
from datetime import UTC
from typing import Any

from temporalio.api.enums.v1 import EventType

from activities.failures import FailureKind
from tests.workflows.conftest import Stage, failing, outcomes

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
    body: {order: "{{ order.external_id }}", lines: {$for: p in order.products, $each: {name: "{{ p.name }}"}}}
  - sms: bye
    text: "{{ contact.custom.nick }}"
"""
ORDER: dict[str, Any] = {
    "type": "order",
    "order": {"external_id": "CGX0094", "total_price": 30, "products": [{"name": "A", "quantity": 2}]},
}


async def test_a_journey_performs_its_steps_in_order_and_reports_them(stage: Stage) -> None:
    await stage.publish(FOUR)
    result = await stage.run("four", ORDER, contact={"id": 7, "firstname": "Zoé"})
    steps = [(step["id"], step["kind"], step["outcome"]) for step in result.pop("steps")]
    assert result == {"outcome": "finished", "reason": "", "version": "four@1"}
    assert steps == [
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


async def test_a_history_holds_of_a_delivery_what_its_activity_does_not_know(stage: Stage) -> None:
    await stage.publish(LATER)
    handle = await stage.start("later", ORDER)
    await stage.result(handle)
    events = (await handle.fetch_history()).events
    [scheduled] = [event for event in events if event.HasField("activity_task_scheduled_event_attributes")]
    given = json.loads(scheduled.activity_task_scheduled_event_attributes.input.payloads[0].data)
    assert given.keys() == {"id", "scenario", "contact", "data", "on_unknown", "decided"}
    [attempt] = stage.channels.attempts
    assert (attempt.delivery.step, attempt.delivery.room) == ("only", 30.0)
    # It knows when the workflow task began that decided to send.
    started = EventType.EVENT_TYPE_WORKFLOW_TASK_STARTED
    *_, began = (event for event in events[: events.index(scheduled)] if event.event_type is started)
    assert attempt.delivery.decided == began.event_time.ToMilliseconds() / 1000
    assert attempt.delivery.now == began.event_time.ToDatetime(tzinfo=UTC).isoformat(timespec="seconds")


async def test_a_step_is_handed_only_the_fields_that_its_templates_name(stage: Stage) -> None:
    await stage.publish(FOUR)
    contact = {"id": 7, "firstname": "Zoé", "lastname": "O'Brien", "custom_fields": [{"name": "nick", "value": "Z"}]}
    await stage.run("four", ORDER, contact=contact)
    handed = {attempt.delivery.step: attempt.delivery.data for attempt in stage.channels.attempts}
    order = {"external_id": "CGX0094", "products": [{"name": "A"}]}
    assert handed["hook"] == {"contact": {"id": "7"}, "order": order}
    assert handed["bye"] == {
        "contact": {"cellphone": "+33612345678", "language": None, "custom": {"nick": "Z"}},
    }


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
    assert outcomes(result) == [("text", "unknown")]
    assert (result["outcome"], result["reason"]) == ("finished", "")
    (stored,) = await stage.store.entries(scenario="unknown", limit=1)
    assert (stored.outcome, stored.reason) == ("finished", "1 of 1 deliveries failed")
