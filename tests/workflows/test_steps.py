"""Steps in journeys: what they send, wait for and choose, and what is on record."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

from temporalio.api.enums.v1 import EventType

from activities.failures import FailureKind
from activities.interface import Sent
from scenario.steps.host import KEPT_RESPONSES
from tests.stage import WHO, Stage, failing, outcomes, refusal

ORDER: dict[str, Any] = {
    "type": "order",
    "order": {"external_id": "CGX0094", "total_price": 30, "products": [{"name": "A", "quantity": 2}]},
}


AT_ONCE = """
scenario: at-once
trigger: order
steps:
  - if: order.total_price > 20
    then: [{email: first, subject: Hi, text: Hi}]
  - {sms: second, text: Hi}
"""
LATER = """
scenario: later
trigger: order
steps:
  - wait: 1s
  - {sms: only, text: Hi}
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


UNKNOWN = """
scenario: unknown
trigger: segment
steps:
  - {sms: text, text: hi, on_unknown: continue}
"""


async def test_an_unknown_outcome_can_be_passed_over_and_is_on_record(stage: Stage) -> None:
    await stage.publish(UNKNOWN)
    stage.channels.scripts["text"] = failing(FailureKind.UNKNOWN, status=None, reason="no answer came")
    result = await stage.run("unknown")
    assert outcomes(result) == [("text", "unknown")]
    assert (result["outcome"], result["reason"]) == ("finished", "")
    (stored,) = await stage.store.entries(scenario="unknown", limit=1)
    assert (stored.outcome, stored.reason) == ("finished", "1 of 1 deliveries failed")


WEEKLY = """
scenario: weekly
trigger: order
timezone: Europe/Paris
steps:
  - {repeat: {every: 7d, times: 4, until: contact.custom.stop}, steps: [{sms: hi, text: hi}, {wait: 2d}]}
  - {sms: after, text: hi}
"""


def told(result: dict[str, Any]) -> list[str]:
    return [f"{step['id']} {step['outcome']} {step.get('reason', '')}".strip() for step in result["steps"]]


async def test_a_paused_journey_says_in_which_round_it_is(stage: Stage) -> None:
    await stage.publish(WEEKLY)
    handle = await stage.start("weekly", ORDER)
    await stage.attempted("hi")
    await stage.until(handle, "waiting")
    await stage.operate(handle, "skip_step", {**WHO, "step": "wait-1.round.2"})
    assert (await stage.until(handle, "waiting"))["at"] == "repeat-1"
    progress = await stage.operate(handle, "pause", WHO)
    assert progress["rounds"] == [{"step": "repeat-1", "round": 1, "of": 4}]
    await stage.operate(handle, "skip_step", {**WHO, "step": "repeat-1"})
    await stage.operate(handle, "resume", WHO)
    assert told(await stage.result(handle))[-2:] == ["repeat-1 skipped skipped by ann: incident 42", "after delivered"]


def event(name: str, **properties: Any) -> dict[str, Any]:
    return {"name": name, "properties": properties}


TOGETHER = """
scenario: NAME
trigger: order
steps:
  - STEP
  - {sms: after, text: "{{ event.n }}"}
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
        await stage.attempted("after")
        attempt = stage.channels.attempts[-1]
        assert (attempt.delivery.step, attempt.delivery.data["event"]["n"]) == ("after", 2)
        assert attempt.at - began < timedelta(days=1)
        assert (await stage.result(handle))["steps"][-1]["id"] == "after"
        stage.channels.attempts.clear()


KEEPS = """
scenario: keeps
trigger: segment
steps:
  - {webhook: hook, url: https://hooks.example.com/a, body: {}, save: {as: found}}
  - {webhook: again, url: https://hooks.example.com/a, body: {}, save: {as: more}}
"""
REQUIRES = """
scenario: requires
trigger: segment
steps:
  - repeat: {every: 1d, times: 2}
    steps:
      - {webhook: hook, url: https://hooks.example.com/a, save: {as: r, required: true}}
      - {sms: code, text: "{{ responses.r.code }}"}
"""
CALLS = """
scenario: calls
trigger: segment
steps:
  - webhook: hook
    url: https://hooks.example.com/a
    body: {answer_to: "{{ journey.callback_url }}", entered: "{{ journey.entered_at }}"}
  - {sms: last, text: "{{ journey.id }}"}
"""


async def test_only_a_step_that_names_the_callback_address_can_make_one(stage: Stage) -> None:
    await stage.publish(CALLS)
    handle = await stage.start("calls")
    await handle.result()
    hook, last = stage.channels.of("hook")[0].delivery, stage.channels.of("last")[0].delivery
    assert hook.root == handle.first_execution_run_id
    assert last.root == ""
    assert list(hook.data["journey"]) == ["entered_at"]


async def test_a_step_that_requires_a_response_is_retried_under_its_id_or_anew(stage: Stage) -> None:
    refused = Sent(outcome="refused_answer", status=200, note="it is empty", excerpt="{}")
    answers = [refused, refused, Sent(status=200, saved={"code": "C"}), Sent(status=200, saved=[])]
    stage.channels.scripts["hook"] = lambda delivery, attempt: replace(answers.pop(0), attempt=attempt)
    await stage.publish(REQUIRES)
    handle = await stage.start("requires")
    held = (await stage.until(handle, "held"))["waiting"]
    assert (held["cause"], held["kind"], held["status"]) == ("refused_answer", "DeliveryPermanent", 200)
    assert (held["reason"], held["excerpt"]) == ("hooks.example.com answered 200: it is empty", "{}")
    await stage.operate(handle, "retry_step", WHO)
    await stage.until(handle, lambda shown: shown["state"] == "held" and len(stage.channels.of("hook")) == 2)
    progress = await stage.operate(handle, "retry_step", {**WHO, "anew": True})
    assert progress["operations"][-1]["details"] == {"anew": True}
    result = await stage.result(handle)
    assert [step["outcome"] for step in result["steps"]] == ["round", "delivered", "delivered"] * 2 + ["ended"]
    first, again, anew, following = (one.delivery for one in stage.channels.of("hook"))
    assert again.id == first.id
    assert len({first.id, anew.id, following.id}) == 3
    assert [one.delivery.data["responses"] for one in stage.channels.of("code")] == [{"r": {"code": "C"}}, {"r": []}]


async def test_only_a_refused_response_is_asked_for_anew(stage: Stage) -> None:
    stage.channels.scripts["hook"] = failing(FailureKind.PERMANENT)
    await stage.publish(REQUIRES)
    handle = await stage.start("requires")
    await stage.until(handle, "held")
    why = "'anew' is for a step whose response was refused: leave it out, or it may arrive twice"
    assert await refusal(stage.operate(handle, "retry_step", {**WHO, "anew": True})) == why
    assert await refusal(stage.operate(handle, "retry_step", {**WHO, "anew": 1})) == "'anew' must be true or false"
    await handle.terminate()


async def test_a_journey_says_which_responses_it_forgot(stage: Stage) -> None:
    await stage.publish(KEEPS)
    big = "x" * (KEPT_RESPONSES // 2)
    for step in ("hook", "again"):
        stage.channels.scripts[step] = lambda delivery, attempt: Sent(status=200, attempt=attempt, saved=[big])
    result = await stage.run("keeps")
    assert [step.get("note") for step in result["steps"]] == [
        None,
        "older responses were forgotten, all together are too large: found",
    ]
