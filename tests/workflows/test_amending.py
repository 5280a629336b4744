"""Held steps that are tried again after something was mended: by another version, or with a changed contact."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError

from activities.failures import FailureKind
from activities.interface import Sent
from tests.stage import WHO, SlowLookUp, Stage, failing, refusal
from workflows.delivery import DeliveryRunner
from workflows.host import JourneyHost
from workflows.migrations import Migrations
from workflows.state import Held, State
from workflows.updates import OperatorUpdates

FIRST = """
scenario: mended
trigger: order
steps:
  - {webhook: hook, url: https://hooks.example.com/a, body: {name: "{{ contact.firstname }}"}}
  - {sms: after, text: "{{ contact.lastname }}"}
"""
SECOND = """
scenario: mended
trigger: order
steps:
  - {sms: new, text: new}
  - webhook: hook
    url: https://api.example.com/b
    timeout: 40s
    body: {name: "{{ contact.firstname }}", order: "{{ order.external_id }}"}
"""
OTHER = SECOND.replace("webhook: hook", "webhook: another").replace("sms: new", "sms: hook")
ORDERED = {"type": "order", "order": {"external_id": "A"}}
ZOE = {"id": 7, "firstname": "Zoé", "lastname": "B"}


async def held(stage: Stage, kind: FailureKind = FailureKind.TEMPLATE) -> WorkflowHandle[Any, dict[str, Any]]:
    await stage.publish(FIRST)
    stage.channels.scripts["hook"] = failing(kind, status=None)
    handle = await stage.start("mended", ORDERED, contact=ZOE)
    await stage.until(handle, "held")
    stage.channels.scripts["hook"] = lambda delivery, attempt: Sent(status=200, attempt=attempt)
    return handle


async def test_a_held_step_is_tried_again_as_another_version_has_it_and_the_reasons_are_named(stage: Stage) -> None:
    handle = await held(stage)
    await stage.publish(SECOND)
    await handle.signal("contact_changed", {"firstname": "Zoë"})
    progress = await stage.operate(handle, "retry_step", {**WHO, "version": 2})
    assert progress["operations"][0]["details"] == {"version": "mended@2"}
    result = await stage.result(handle)
    assert result["version"] == "mended@1"
    assert [(step["id"], step["outcome"], step.get("note")) for step in result["steps"]] == [
        ("hook", "delivered", "rendered again from mended@2; rendered again: the contact has changed"),
        ("after", "delivered", None),
    ]
    before, anew = (attempt.delivery for attempt in stage.channels.of("hook"))
    assert (before.scenario, before.timeout, before.data) == ("mended@1", 15.0, {"contact": {"firstname": "Zoé"}})
    assert (anew.scenario, anew.timeout) == ("mended@2", 40.0)
    assert anew.data == {"contact": {"firstname": "Zoë"}, "order": {"external_id": "A"}}
    assert (anew.id, anew.now) == (before.id, before.now)
    assert stage.channels.of("after")[0].delivery.scenario == "mended@1", "for this one step only"


async def test_a_step_stays_with_the_version_until_it_is_over_or_another_is_named(stage: Stage) -> None:
    handle = await held(stage)
    await stage.publish(SECOND)
    stage.channels.scripts["hook"] = failing(FailureKind.PERMANENT)
    for number, argument in enumerate(({**WHO, "version": 2}, WHO, {**WHO, "version": 1}), 2):
        await stage.operate(handle, "retry_step", argument)
        await _attempts(stage, number)
        await stage.until(handle, "held")
    assert [attempt.delivery.scenario for attempt in stage.channels.of("hook")] == [
        "mended@1",
        "mended@2",
        "mended@2",
        "mended@1",
    ]
    stage.channels.scripts.clear()
    await stage.operate(handle, "retry_step", WHO)
    assert (await stage.result(handle))["steps"][0].get("note") is None, "its own version is not noted as another"


async def test_a_retried_delivery_says_so_and_consults_the_log_first(stage: Stage) -> None:
    handle = await held(stage, FailureKind.PERMANENT)
    await stage.operate(handle, "retry_step", WHO)
    await stage.result(handle)
    assert [one.delivery.retried for one in stage.channels.of("hook")] == [False, True]


async def test_a_version_is_not_taken_for_a_step_that_was_held_anew_meanwhile(stage: Stage, slow_look_up: SlowLookUp):
    stage.task_timeout = timedelta(seconds=1)  # the second update comes with the next workflow task
    handle = await held(stage)
    stage.channels.scripts["hook"] = failing(FailureKind.PERMANENT, status=None)
    slow_look_up.begin()
    first = asyncio.ensure_future(refusal(stage.operate(handle, "retry_step", {**WHO, "version": 1})))
    await slow_look_up.asked.wait()
    await stage.operate(handle, "retry_step", WHO)
    await _attempts(stage, 2)
    await stage.until(handle, "held")
    slow_look_up.answered.set()
    assert await first == "nothing to retry: somebody else has decided meanwhile"
    await handle.terminate()


def test_a_pending_retry_is_not_repeated() -> None:
    host = JourneyHost(AsyncMock())
    host.version = "mended@1"
    host.state = State(version=1, plan={}, zone="UTC", entered_at="t", root="run", at="hook")
    host.state.held = Held(step="hook", kind="DeliveryPermanent", reason="r", at="t")
    deliveries = DeliveryRunner(host)
    updates = OperatorUpdates(host, deliveries, Migrations(host, deliveries))
    updates.check_retry_step(WHO)
    host.is_retry_ordered = True
    with pytest.raises(ApplicationError, match="nothing to retry: the journey is not held"):
        updates.check_retry_step(WHO)


async def _attempts(stage: Stage, number: int) -> None:
    while len(stage.channels.of("hook")) < number:
        await asyncio.sleep(0.02)


async def test_a_version_that_cannot_be_used_changes_nothing(stage: Stage) -> None:
    handle = await held(stage)
    await stage.publish(OTHER)
    await stage.publish(OTHER.replace("sms: hook", "sms: new"))
    versions: list[tuple[Any, str]] = [
        (9, "mended@9 is not published: publish it first"),
        (2, "'hook' is of kind sms in mended@2, not webhook"),
        (3, "mended@3 has no step 'hook': name a version that has it"),
        *((no, "'version' must be the number of a version, such as 4, or 'newest'") for no in (0,)),
    ]
    for version, sentence in versions:
        assert await refusal(stage.operate(handle, "retry_step", {**WHO, "version": version})) == sentence
    progress = await handle.query("progress")
    assert (progress["state"], progress["operations"]) == ("held", [])
    await stage.operate(handle, "retry_step", WHO)
    assert (await stage.result(handle))["steps"][0].get("note") is None


async def test_a_change_of_what_the_step_does_not_name_is_no_remark_and_keeps_its_data_and_time(stage: Stage) -> None:
    """`now` is part of what is rendered: the same delivery id stands for the same bytes."""
    handle = await held(stage, FailureKind.PERMANENT)
    for patch in ({"lastname": "Bee"}, {"firstname": "Zoé"}, {"timezone": "Asia/Tokyo"}):
        await handle.signal("contact_changed", patch)
    await stage.operate(handle, "retry_step", WHO)
    result = await stage.result(handle)
    assert result["steps"][0].get("note") is None
    before, again = (attempt.delivery for attempt in stage.channels.of("hook"))
    assert again == replace(before, zone="Asia/Tokyo", entered=0.0, decided=again.decided, retried=True), (
        "whose clock is asked about hours, not what is rendered"
    )
    assert stage.channels.of("after")[0].delivery.now.endswith("+09:00")


CONDITION = """
scenario: forked
trigger: order
steps:
  - {if: CONDITION, then: [{sms: yes, text: a}], else: [{sms: no, text: b}]}
"""


async def test_a_condition_that_cannot_be_worked_out_is_mended_likewise(stage: Stage) -> None:
    await stage.publish(CONDITION.replace("CONDITION", "contact.custom.a > contact.custom.b"))
    handle = await stage.start("forked", ORDERED, contact={**ZOE, "custom": {"a": 1, "b": "x"}})
    progress = await stage.until(handle, "held")
    assert progress["waiting"]["cause"] == "template"
    await stage.publish(CONDITION.replace("CONDITION", 'contact.firstname == "Zoé"').replace("sms: yes", "sms: other"))
    await stage.operate(handle, "retry_step", {**WHO, "version": "newest"})
    result = await stage.result(handle)
    assert [(step["id"], step["outcome"], step.get("note")) for step in result["steps"]] == [
        ("if-1", "then", "evaluated again with forked@2"),
        ("yes", "delivered", None),
    ]
