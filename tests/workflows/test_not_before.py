"""A delivery that must not leave yet: the journey waits by a timer that says why, and then asks again."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import WorkflowHandle

from activities.failures import CONTACT_CHANGED, Failure, FailureKind
from activities.interface import Delivery, Sent
from runtime.store.claims import CapClaim
from scenario.policies.caps import Cap
from tests.stage import WHO, Attempt, Stage, failing, not_before, outcomes, refusal, timers
from tests.workflows.test_continuing import runs

NIGHT = """
scenario: night
trigger: segment
timezone: Europe/Paris
exit: [{event: gone}]
steps:
  - {sms: hi, text: "{{ contact.firstname }} {{ now }}"}
  - {sms: after, text: hi}
"""


def kept_back(stage: Stage, *, times: int = 1, by: timedelta = timedelta(hours=9)) -> Callable[[Delivery, int], Any]:
    """A channel that may not send yet, some times."""
    asked = 0

    async def script(delivery: Delivery, attempt: int) -> Sent:
        nonlocal asked
        asked += 1
        if asked > times:
            return Sent(status=200, attempt=attempt)
        raise not_before(await stage.now() + by)

    return script


async def started(stage: Stage, script: Callable[[Delivery, int], Any]) -> WorkflowHandle[Any, dict[str, Any]]:
    stage.channels.scripts["hi"] = script
    await stage.publish(NIGHT)
    return await stage.start("night", contact={"id": 7, "firstname": "Zoé"})


def steady(attempt: Attempt) -> Delivery:
    """What stays of a delivery that is kept back before its first attempt."""
    return replace(attempt.delivery, entered=0.0, now="", began="", decided=0.0)


async def test_it_leaves_later_under_the_same_id_and_its_time_is_when_it_may_leave_and_stays_that(stage: Stage) -> None:
    refused, fails = kept_back(stage, times=2), failing(FailureKind.RETRY)

    async def script(delivery: Delivery, attempt: int) -> Sent:
        if len(stage.channels.of("hi")) in (3, 4):
            fails(delivery, attempt)
        return await refused(delivery, attempt)

    result = await stage.result(await started(stage, script))
    assert outcomes(result) == [("hi", "delivered"), ("after", "delivered")]
    attempts = stage.channels.of("hi")
    assert [attempt.number for attempt in attempts] == [1, 1, 1, 2, 3], "nothing was tried in between"
    first, second, third = attempts[:3]
    # What is measured is how soon a first message leaves where nothing holds it up.
    assert steady(first) == steady(second) == steady(third)
    for before, after in pairwise(attempts[:3]):
        assert timedelta(hours=9) - timedelta(seconds=1) <= after.at - before.at < timedelta(hours=9, minutes=1)
    for before in attempts[:3]:
        assert abs(datetime.fromisoformat(before.delivery.now) - before.at) < timedelta(minutes=1)
    assert {attempt.delivery.now for attempt in attempts[2:]} == {third.delivery.now}
    began = {datetime.fromisoformat(attempt.delivery.began or attempt.delivery.now) for attempt in attempts}
    assert began == {datetime.fromisoformat(first.delivery.now)}


async def test_it_says_what_it_waits_for(stage: Stage) -> None:
    handle = await started(stage, kept_back(stage))
    with stage.environment.auto_time_skipping_disabled():
        progress = await stage.until(handle, "waiting")
        ends = datetime.fromisoformat(progress["waiting"]["until"])
        assert progress["waiting"]["for"] == "quiet hours"
        events = (await handle.fetch_history()).events
        begun = [event for event in events if event.HasField("timer_started_event_attributes")]
        await handle.signal("event", {"name": "gone"})
    local = ends.astimezone(ZoneInfo("Europe/Paris"))
    [summary] = [event.user_metadata.summary.data.decode() for event in begun]
    assert summary.startswith('"hi: quiet hours until ')
    assert f"{local:%H:%M}" in summary
    assert (await stage.result(handle))["outcome"] == "exited"


@pytest.mark.parametrize("how", ["skip", "change"])
async def test_it_is_skipped_and_asked_again_at_once(stage: Stage, how: str) -> None:
    handle = await started(stage, kept_back(stage, by=timedelta(days=3)))
    with stage.environment.auto_time_skipping_disabled():
        await stage.until(handle, "waiting")
        began = await stage.now()
        if how == "skip":
            await stage.operate(handle, "skip_step", WHO)
        else:
            await handle.signal("contact_changed", {"timezone": "Asia/Tokyo", "firstname": "Zoë"})
        result = await stage.result(handle)
        took = await stage.now() - began
    assert [step["outcome"] for step in result["steps"]] == ["skipped" if how == "skip" else "delivered", "delivered"]
    assert took < timedelta(minutes=1)
    if how == "change":
        first, second = stage.channels.of("hi")
        assert first.delivery.id == second.delivery.id
        assert second.delivery.now.endswith("+09:00")
        assert second.delivery.data["contact"]["firstname"] == "Zoë"
        assert result["steps"][0]["note"].startswith("kept back until ")
        assert result["steps"][0]["note"].endswith(": quiet hours; rendered again: the contact has changed")


@pytest.mark.usefixtures("_always_suggested")
async def test_it_waits_on_in_a_new_run(stage: Stage) -> None:
    handle = await started(stage, kept_back(stage, by=timedelta(days=3)))
    result = await stage.result(handle)
    first, second = stage.channels.of("hi")
    assert steady(first) == steady(second)
    assert timedelta(days=3) - timedelta(seconds=1) <= second.at - first.at < timedelta(days=3, minutes=1)
    assert await runs(stage, handle) > 1
    assert [step["outcome"] for step in result["steps"]] == ["delivered", "delivered"]


async def test_a_moment_that_is_past_by_the_workers_clock_is_not_asked_for_again_and_again(stage: Stage) -> None:
    handle = await started(stage, kept_back(stage, times=3, by=timedelta(seconds=-1)))
    await stage.result(handle)
    times = [attempt.at for attempt in stage.channels.of("hi")]
    assert [after - before >= timedelta(seconds=4.9) for before, after in pairwise(times)] == [True, True, True]


async def test_a_paused_journey_does_not_send_when_the_time_has_come(stage: Stage) -> None:
    handle = await started(stage, kept_back(stage))
    with stage.environment.auto_time_skipping_disabled():
        await stage.until(handle, "waiting")
        await stage.operate(handle, "pause", WHO)
    await stage.environment.sleep(timedelta(hours=10))
    assert len(stage.channels.of("hi")) == 1
    await stage.operate(handle, "resume", WHO)
    result = await stage.result(handle)
    assert [step["outcome"] for step in result["steps"]] == ["delivered", "delivered"]


@pytest.mark.usefixtures("_always_suggested")
async def test_a_change_that_ends_a_run_is_asked_about_in_the_next(stage: Stage) -> None:
    handle = await started(stage, kept_back(stage, by=timedelta(days=3)))
    with stage.environment.auto_time_skipping_disabled():
        await stage.until(handle, "waiting")
        await handle.signal("contact_changed", {"firstname": "Zoë"})
        await stage.result(handle)
    assert len(stage.channels.of("hi")) == 2


async def test_what_changes_while_the_destination_is_asked_is_sent(stage: Stage) -> None:
    stage.desk.blocked, stage.task_timeout = asyncio.Event(), timedelta(seconds=1)
    await stage.publish(
        "scenario: wax\ntrigger: segment\nsteps:\n  - webhook: hook\n    to: wax\n    path: /a\n"
        '    body: {name: "{{ contact.firstname }}"}\n'
    )
    handle = await stage.start("wax", contact={"id": 7, "firstname": "Zoé"})
    while not stage.desk.clearances:
        await asyncio.sleep(0.02)
    await handle.signal("contact_changed", {"firstname": "Zoë"})
    while "contact_changed" not in [
        event.workflow_execution_signaled_event_attributes.signal_name async for event in handle.fetch_history_events()
    ]:
        await asyncio.sleep(0.02)
    stage.desk.blocked.set()
    await stage.result(handle)
    assert stage.channels.of("hook")[0].delivery.data["contact"]["firstname"] == "Zoë"


async def test_one_that_may_go_costs_no_event(stage: Stage) -> None:
    handle = await started(stage, lambda _, attempt: Sent(status=200, attempt=attempt))
    await stage.result(handle)
    assert timers(await handle.fetch_history()) == []


async def test_an_operator_sends_at_once_what_is_kept_back(stage: Stage) -> None:
    handle = await started(stage, kept_back(stage, by=timedelta(days=3)))
    with stage.environment.auto_time_skipping_disabled():
        await stage.until(handle, "waiting")
        for argument, why in (
            ({}, "nothing to retry: the journey is not held"),
            ({"now": "yes"}, "'now' must be true or false"),
            ({"now": True, "version": 1}, "'version' is for a held step: this one is kept back, and has not failed"),
        ):
            assert await refusal(stage.operate(handle, "retry_step", {**WHO, **argument})) == why
        progress = await stage.operate(handle, "retry_step", {**WHO, "now": True})
        result = await stage.result(handle)
    assert progress["operations"][-1]["details"] == {"now": True}
    first, second = stage.channels.of("hi")
    assert [first.delivery.at_once, second.delivery.at_once] == [False, True]
    assert steady(second) == replace(steady(first), at_once=True)
    assert not stage.channels.of("after")[0].delivery.at_once, "which was for that step alone"
    assert [step["outcome"] for step in result["steps"]] == ["delivered", "delivered"]


async def test_what_a_cap_holds_is_held_whatever_the_step_does_about_failures(stage: Stage) -> None:
    def capped(delivery: Delivery, attempt: int) -> Sent:
        if delivery.at_once:
            return Sent(status=200, attempt=attempt)
        raise Failure(
            kind=FailureKind.CAPPED, reason="capped by week: 4 in 7d, next Thu 10:02", destination="sms", attempt=0
        ).as_error()

    stage.channels.scripts["hi"] = capped
    await stage.publish(NIGHT.replace('{{ now }}"', '{{ now }}", on_failure: continue, capped: hold'))
    handle = await stage.start("night", contact={"id": 7, "firstname": "Zoé"})
    held = (await stage.until(handle, "held"))["waiting"]
    assert (held["cause"], held["reason"]) == ("capped", "capped by week: 4 in 7d, next Thu 10:02")
    await stage.operate(handle, "retry_step", {**WHO, "now": True})
    assert [step["outcome"] for step in (await stage.result(handle))["steps"]] == ["delivered", "delivered"]


@pytest.mark.parametrize("how", ["skip", "exit"])
async def test_what_is_given_up_between_attempts_gives_its_place_back(stage: Stage, how: str) -> None:
    handle = await started(stage, failing(FailureKind.RETRY))
    await stage.attempted("hi")
    delivery = stage.channels.of("hi")[0].delivery.id
    cap = Cap.model_validate({"name": "one", "at_most": 1, "per": "7d"})
    now = await stage.now()
    wanted = CapClaim(delivery, "7", "sms", "", "night", now)
    assert await stage.store.claim(wanted, [cap], ZoneInfo("UTC")) is None
    if how == "skip":
        await stage.operate(handle, "skip_step", WHO)
    else:
        await handle.signal("event", {"name": "gone"})
    await stage.result(handle)
    assert await stage.store.claims_of("7", now - timedelta(days=1)) == []


async def test_a_retry_that_is_kept_back_waits_as_the_first_attempt_does_and_its_deadline_runs_on(stage: Stage) -> None:
    """Attempts that were made count: three are allowed, and the second is kept back over night."""
    night = timedelta(hours=9)
    failing_twice, asked = failing(FailureKind.RETRY, times=2), 0

    async def script(delivery: Delivery, attempt: int) -> Sent:
        nonlocal asked
        asked += 1
        if asked != 2:
            sent = failing_twice(delivery, asked if asked == 1 else asked - 1)
            return replace(sent, attempt=3) if isinstance(sent, Sent) else await sent
        raise not_before(await stage.now() + night, attempt=1)

    handle = await started(stage, script)
    await stage.attempted("hi")
    await stage.environment.sleep(30)  # until the first retry
    progress = await stage.until(handle, "retrying")
    assert progress["waiting"]["for"] == "quiet hours"
    result = await stage.result(handle)
    assert [(step["outcome"], step["attempts"]) for step in result["steps"]] == [("delivered", 3), ("delivered", 1)]
    first, kept, second, third = stage.channels.of("hi")
    assert [one.delivery.tried for one in (first, kept, second, third)] == [0, 0, 1, 1]
    assert {one.delivery.now for one in (first, kept, second, third)} == {first.delivery.now}
    assert 0 <= second.delivery.waited - night.total_seconds() < 60
    timeouts = [
        event.activity_task_scheduled_event_attributes.schedule_to_close_timeout.ToTimedelta()
        async for event in handle.fetch_history_events()
        if event.activity_task_scheduled_event_attributes.activity_id == "hi"
    ]
    shorter = timeouts[0] - timeouts[1]
    assert abs(shorter.total_seconds() - second.delivery.waited) < 1, "the deadline runs on"
    assert stage.channels.of("after")[0].delivery.tried == 0


async def test_a_first_message_is_scheduled_again_at_once_with_a_change_that_its_attempt_has_found(
    stage: Stage,
) -> None:
    is_started = asyncio.Event()

    async def script(delivery: Delivery, attempt: int) -> Sent:
        if len(stage.channels.of("hi")) > 1:
            return Sent(status=200, attempt=attempt)
        await is_started.wait()
        await handle.signal("contact_changed", {"firstname": "Zoë"})
        raise Failure(
            kind=FailureKind.NOT_BEFORE,
            reason="the contact has changed",
            destination="sms",
            attempt=0,
            error=CONTACT_CHANGED,
            turned_away=True,
        ).as_error()

    began = await stage.now()
    handle = await started(stage, script)
    is_started.set()
    result = await stage.result(handle)
    first, second = stage.channels.of("hi")
    assert [one.delivery.data["contact"]["firstname"] for one in (first, second)] == ["Zoé", "Zoë"]
    assert (first.delivery.id, first.delivery.now) == (second.delivery.id, second.delivery.now)
    assert (first.delivery.entered > 0, second.delivery.entered) == (True, 0.0), "it happens once"
    assert second.at - began < timedelta(seconds=4)
    assert "note" not in result["steps"][0], "nothing was sent before"
