"""Webhooks to destinations: what these ask for, what the scenario sets itself, and what becomes of it in between."""

import asyncio
import itertools
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.worker import Worker

from activities.failures import Failure, FailureKind
from activities.interface import Delivery, DestinationPolicy, Sent
from runtime.store import StoreError
from scenario.plan.retry import RetryPolicy
from scenario.steps.delivery import Send
from tests.factories import attempt as attempt_row
from tests.stage import WHO, Stage, failing, raising

WAX = """
scenario: wax
trigger: segment
exit: [{event: gone}]
steps:
  - {webhook: hook, to: wax, path: /messages, body: {}, retry: {maximum_attempts: 3}}
  - sms: after
    text: hi
"""
SLOW = DestinationPolicy(retry={"initial": 100.0, "coefficient": 2.0, "maximum": 150.0, "attempts": 9}, timeout=30.0)
OWN = RetryPolicy(initial_interval=1.0, maximum_attempts=7)


@pytest.mark.parametrize(
    ("own", "cleared", "retry", "timeout"),
    [
        ((), DestinationPolicy(), OWN, 15.0),
        ((), DestinationPolicy(retry={"initial": 9.0}), replace(OWN, initial_interval=9.0), 15.0),
        (("initial",), DestinationPolicy(retry={"initial": 9, "maximum": 6}), replace(OWN, maximum_interval=6), 15.0),
        (("attempts",), DestinationPolicy(retry={"attempts": 2.0}, timeout=5.0), OWN, 5.0),
        (("timeout",), DestinationPolicy(timeout=5.0), OWN, 15.0),
        ((), DestinationPolicy(retry={"attempts": 2, "deadline": 9}), replace(OWN, maximum_attempts=2, deadline=9), 15),
        ((), DestinationPolicy(retry={"of a later version": 1.0}), OWN, 15.0),
    ],
)  # fmt: skip
def test_a_destination_has_its_say_where_the_scenario_has_none(
    own: tuple[str, ...], cleared: DestinationPolicy, retry: RetryPolicy, timeout: float
) -> None:
    step = Send(kind="webhook", to="wax", destination=True, retry=OWN, timeout=15.0, own_settings=own)
    merged = step.as_asked(cleared.retry, cleared.timeout)
    assert (merged.retry, merged.timeout) == (retry, timeout)


async def test_a_destination_is_asked_before_each_delivery_and_the_activity_follows(stage: Stage) -> None:
    await stage.publish(WAX)
    stage.desk.cleared = SLOW
    stage.channels.scripts["hook"] = failing(FailureKind.RETRY, times=2)
    assert (await stage.run("wax"))["steps"][0]["attempts"] == 3
    attempts = stage.channels.of("hook")
    assert stage.desk.clearances == ["wax"]
    first, second = (round((b.at - a.at).total_seconds()) for a, b in itertools.pairwise(attempts))
    assert 80 <= first <= 130
    assert abs(second - min(2 * first, 150)) <= 10
    delivery = attempts[0].delivery
    assert (delivery.timeout, delivery.attempts) == (30.0, 3), "the scenario's own number of attempts"


async def test_a_destination_is_asked_again_when_an_operator_tries_again_and_its_queue_may_be_another_one_by_then(
    stage: Stage,
) -> None:
    await stage.publish(WAX)
    stage.channels.scripts["hook"] = failing(FailureKind.PERMANENT)
    handle = await stage.start("wax")
    await stage.until(handle, "held")
    stage.desk.cleared = replace(SLOW, queue="webhooks-3")
    stage.channels.scripts["hook"] = lambda delivery, attempt: Sent(status=200, attempt=attempt)
    async with Worker(stage.client, task_queue="webhooks-3", activities=[stage.channels.send_webhook]):
        await stage.operate(handle, "retry_step", WHO)
        await stage.result(handle)
    assert stage.desk.clearances == ["wax", "wax"]
    assert [attempt.delivery.timeout for attempt in stage.channels.of("hook")] == [15.0, 30.0]
    history = str((await handle.fetch_history()).to_json_dict())
    assert [name in history for name in ("webhooks'", "webhooks-3'")] == [True, True]


async def test_what_goes_to_no_destination_asks_none(stage: Stage) -> None:
    await stage.publish(WAX.replace("to: wax, path: /messages", "url: https://hooks.example.com/a"))
    await stage.run("wax")
    assert stage.desk.clearances == []


@pytest.mark.parametrize("skips", [True, False], ids=["skipped", "cancelled"])
async def test_nothing_is_sent_by_a_step_that_ends_while_a_destination_is_asked(stage: Stage, skips: bool) -> None:
    await stage.publish(WAX)
    stage.desk.blocked, stage.task_timeout = asyncio.Event(), timedelta(seconds=1)
    handle = await stage.start("wax")
    while not stage.desk.clearances:
        await asyncio.sleep(0.02)
    if skips:
        await stage.operate(handle, "skip_step", WHO)
        stage.desk.blocked.set()
        assert (await stage.result(handle))["steps"][0]["outcome"] == "skipped"
    else:
        await handle.cancel()
        with pytest.raises(WorkflowFailureError):
            await stage.result(handle)
    assert stage.channels.of("hook") == []


async def test_a_hold_is_found_by_destination_and_by_why_for_as_long_as_it_lasts(stage: Stage) -> None:
    await stage.publish(WAX.replace("  - sms: after", "  - wait_for: go\n  - sms: after"))
    failures: list[tuple[FailureKind, dict[str, Any], str]] = [
        (FailureKind.PERMANENT, {"status": 422}, "permanent"),
        (FailureKind.PERMANENT, {"exhausted": True}, "exhausted"),
        (FailureKind.UNKNOWN, {"unknown": True}, "unknown"),
        (FailureKind.UNCONFIGURED, {}, "unconfigured"),
        (FailureKind.TEMPLATE, {}, "template"),
    ]
    for kind, more, cause in failures:
        stage.channels.scripts["hook"] = raising(Failure(kind=kind, reason="r", destination="x", attempt=1, **more))
        handle = await stage.start("wax")
        progress = await stage.until(handle, "held")
        assert (progress["waiting"]["destination"], progress["waiting"]["cause"]) == ("wax", cause)
        assert await _found(handle) == {"JourneyState": "held", "Destination": "wax", "HeldReason": cause}
        await stage.operate(handle, "skip_step", WHO)
        await stage.until(handle, "waiting")
        assert await _found(handle) == {"JourneyState": "waiting"}


@pytest.mark.parametrize(
    ("known", "said", "status", "excerpt"),
    [
        ("unreadable", "", None, None),
        ({"status": 503, "response": "moving house"}, "; before that: it answered 503", 503, "moving house"),
        ({"error": "connect_refused"}, "; before that: connect_refused", None, None),
        (None, "", None, None),
    ],
)
async def test_what_was_answered_before_a_delivery_waited_for_its_turn_to_the_end_is_remembered(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    known: dict[str, Any] | str | None,
    said: str,
    status: int | None,
    excerpt: str | None,
) -> None:
    await stage.publish(WAX.replace("maximum_attempts: 3", "deadline: 1h"))
    if isinstance(known, str):
        monkeypatch.setattr(stage.store, "deliveries", AsyncMock(side_effect=StoreError("the store is away")))

    async def left_alone(delivery: Delivery, attempt: int) -> Sent:
        if attempt == 1 and isinstance(known, dict):
            await stage.store.record([attempt_row(delivery.id, outcome="retry", **known)])
        # A reason may hold a colon of its own.
        why = "wax (https://wax: 443) is busy"
        waits: dict[str, Any] = {"reason": f"{why}: this delivery waits", "turned_away": True, "why": why}
        raise Failure(kind=FailureKind.RETRY, destination="wax", attempt=1, **waits).as_error()

    stage.channels.scripts["hook"] = left_alone
    handle = await stage.start("wax")
    await stage.attempted("hook")
    await stage.environment.sleep(4000)  # the deadline passes after the first attempt
    waiting = (await stage.until(handle, "held"))["waiting"]
    whole = f"the deadline passed meanwhile: wax (https://wax: 443) is busy{said}"
    assert (waiting["reason"], waiting["attempts"], waiting["cause"]) == (whole, 1, "exhausted")
    assert (waiting.get("status"), waiting.get("excerpt")) == (status, excerpt)
    await handle.terminate()


async def _found(handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
    known = ("JourneyState", "Destination", "HeldReason")
    attributes = (await handle.describe()).search_attributes
    # The test server keeps what was unset as nothing.
    return {name: attributes[name][0] for name in known if attributes.get(name, [None])[0] is not None}
