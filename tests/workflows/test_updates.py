"""What operators may do, when, and what comes of it."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError

from activities.failures import FailureKind
from activities.interface import REPORT_HELD, ActivityType, HeldJourney, RetuningResult, Sent
from scenario.plan.retry import UNLIMITED
from tests.stage import WHO, Stage, failing, refusal
from workflows import host, primitives
from workflows.updates import read_retry, read_version

HOLDS = """
scenario: holds
trigger: segment
steps:
  - {webhook: hook, url: https://hooks.example.com/a, body: {}}
  - {sms: after, text: hi}
"""
MISSING = "'{}' is missing: say who does this and why, each in at most 500 characters"


async def held(stage: Stage) -> WorkflowHandle[Any, dict[str, Any]]:
    await stage.publish(HOLDS)
    stage.channels.scripts["hook"] = failing(FailureKind.PERMANENT, status=422, reason="hooks.example.com answered 422")
    handle = await stage.start("holds")
    await stage.until(handle, "held")
    return handle


async def test_a_failed_step_is_held_and_says_why(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.store.want_events(["journey.held"])
    reports = list[HeldJourney]()

    async def call(activity: ActivityType[Any, Any], argument: Any, *, about: str) -> Any:
        """The workflow task of the first report is lost, and repeated."""
        answer = await primitives.call(activity, argument, about=about)
        if activity is REPORT_HELD:
            reports.append(argument)
            if len(reports) == 1:
                raise RuntimeError("lost")
        return answer

    monkeypatch.setattr(host, "call", call)
    handle = await held(stage)
    contact = handle.id.partition("/")[2]
    progress = await handle.query("progress")
    waiting = progress["waiting"]
    why = {
        "step": "hook",
        "kind": "DeliveryPermanent",
        "cause": "permanent",
        "destination": "hooks.example.com",
        "status": 422,
        "attempts": 1,
    }
    told = {**why, "reason": "hooks.example.com answered 422", "at": waiting["at"]}
    assert (progress["at"], waiting) == ("hook", {**told, "for": "an operator"})
    description = await handle.describe()
    assert {key: values[0] for key, values in description.search_attributes.items()} == {
        "ScenarioName": "holds",
        "ContactId": contact,
        "ScenarioVersion": "holds@1",
        "StepId": "hook",
        "JourneyState": "held",
        "Destination": "hooks.example.com",
        "HeldReason": "permanent",
    }
    # For those who list many: what is asked for where they would otherwise have to ask each journey.
    assert await description.memo() == {"LastHeld": told}
    while len(reports) < 2:  # the journey is about to report it again
        await asyncio.sleep(0.01)
    [event] = (await stage.store.outgoing_events(0))[0]
    assert (event.type, event.subject, event.scenario) == ("journey.held", handle.id, "holds")
    assert (event.contact_id, event.data) == (contact, {**why, "version": 1})
    # It is that of the lost task, perhaps a second before.
    assert datetime.fromisoformat(waiting["at"]) - event.at in (timedelta(0), timedelta(seconds=1))
    # Each hold is an event, however soon it follows the one before.
    await stage.operate(handle, "retry_step", {"operator": "ann", "reason": "again"})
    while len((await stage.store.outgoing_events(0))[0]) < 2:
        await asyncio.sleep(0.01)
    await handle.terminate()


async def test_an_operation_that_makes_no_sense_is_refused(stage: Stage) -> None:
    handle = await held(stage)
    operations: list[tuple[str, Any, str]] = [
        ("retry_step", {"reason": "x"}, MISSING.format("operator")),
        ("skip_step", {"operator": "ann", "reason": " "}, MISSING.format("reason")),
        ("leave", 3, MISSING.format("operator")),
        ("resume", WHO, "the journey is not paused"),
        # Who was found by search may have gone on since.
        *(
            (update, {**WHO, "step": "after"}, "the journey is not at step 'after', but at 'hook'")
            for update in ("retry_step", "skip_step", "leave")
        ),
    ]
    for update, argument, sentence in operations:
        assert await refusal(stage.operate(handle, update, argument)) == sentence
    await stage.operate(handle, "pause", WHO)
    assert await refusal(stage.operate(handle, "pause", WHO)) == "the journey is paused already"
    progress = await stage.operate(handle, "resume", {"operator": "bob", "reason": "mended"})
    assert [(done["name"], done["operator"]) for done in progress["operations"]] == [
        ("pause", "ann"),
        ("resume", "bob"),
    ]
    assert (await stage.operate(handle, "leave", {**WHO, "step": "hook"}))["at"] == "hook"
    result = await handle.result()
    assert (result["outcome"], result["reason"]) == ("exited", "left by ann: incident 42")


KNOWN = "initial_interval, backoff_coefficient, maximum_interval, deadline, maximum_attempts"
LENGTH = "must be a duration, such as 90s or 2h, or a number of seconds"


@pytest.mark.parametrize(
    ("retry", "read"),
    [
        ({"initial_interval": "1s"}, {"initial": 1.0}),
        ({"initial_interval": 90, "maximum_interval": "1h30m"}, {"initial": 90.0, "maximum": 5400.0}),
        ({"initial_interval": 0.5, "backoff_coefficient": 1}, {"initial": 0.5, "coefficient": 1}),
        ({"backoff_coefficient": 1.5, "maximum_attempts": 0}, {"coefficient": 1.5, "attempts": 0}),
        ({"maximum_attempts": 12, "deadline": "P1D"}, {"attempts": 12, "deadline": 86_400.0}),
    ],
)
def test_a_retry_policy_is_read_in_the_words_of_the_scenario_file(retry: Any, read: dict[str, float]) -> None:
    assert read_retry({"retry": retry}) == read


@pytest.mark.parametrize(
    ("retry", "sentence"),
    [
        (None, f"'retry' is missing: give at least one of {KNOWN}"),
        ("1s", f"'retry' is missing: give at least one of {KNOWN}"),
        ({"timeout": "1s"}, f"'retry' knows no 'timeout': it knows {KNOWN}"),
        ({"initial_interval": "soon"}, f"'initial_interval' {LENGTH}"),
        ({"initial_interval": 0}, f"'initial_interval' {LENGTH}"),
        ({"initial_interval": True}, f"'initial_interval' {LENGTH}"),
        ({"maximum_interval": float("nan")}, f"'maximum_interval' {LENGTH}"),
        ({"deadline": [1]}, f"'deadline' {LENGTH}"),
        ({"deadline": "4000d"}, f"'deadline' {LENGTH}"),
        ({"backoff_coefficient": 0.5}, "'backoff_coefficient' must be a number from 1 to 100"),
        ({"backoff_coefficient": "2"}, "'backoff_coefficient' must be a number from 1 to 100"),
        ({"maximum_attempts": -1}, "'maximum_attempts' must be a whole number; 0 is as many as the deadline allows"),
        ({"maximum_attempts": 2.5}, "'maximum_attempts' must be a whole number; 0 is as many as the deadline allows"),
        ({"initial_interval": "2h", "maximum_interval": "1h"}, "'maximum_interval' is shorter than 'initial_interval'"),
    ],
)
def test_what_is_no_retry_policy_is_refused(retry: Any, sentence: str) -> None:
    with pytest.raises(ApplicationError) as caught:
        read_retry({"retry": retry})
    assert caught.value.message == sentence


def test_a_version_is_a_number_or_the_newest() -> None:
    known, unknown = [None, 1, 4, "newest"], [0, "4", "latest", 1.5, True, [1]]
    assert [read_version({"version": version}) for version in known] == known
    for version in unknown:
        with pytest.raises(ApplicationError, match="'version' must be"):
            read_version({"version": version})


# ---- the retry policy of a delivery in progress

BUSY = """
scenario: busy
trigger: segment
steps:
  - webhook: hook
    url: https://hooks.example.com/a
    body: {}
    retry: {initial_interval: 2h, maximum_attempts: 5, deadline: 2d}
  - {webhook: next, url: https://hooks.example.com/a, body: {}}
"""
FAST = {"initial_interval": "10s", "backoff_coefficient": 1}


async def backing_off(stage: Stage, text: str = BUSY) -> WorkflowHandle[Any, dict[str, Any]]:
    await stage.publish(text)
    stage.channels.scripts["hook"] = failing(FailureKind.RETRY)
    handle = await stage.start("busy")
    await stage.attempted("hook")
    return handle


async def test_the_server_is_asked_for_just_what_the_operation_names_and_what_it_refuses_is_not_done(stage: Stage):
    handle = await backing_off(stage)
    arguments: list[tuple[dict[str, Any], str]] = [
        ({"retry": {"timeout": 1}}, "'retry' knows no 'timeout'"),
        ({"retry": FAST, "destination": "wax"}, "the delivery in flight goes to 'hooks.example.com'"),
        ({"retry": {"deadline": "3d"}}, "the deadline of a delivery in flight can only be brought forward"),
        ({"retry": FAST, "operator": ""}, "'operator' is missing"),
    ]
    for argument, sentence in arguments:
        assert (await refusal(stage.operate(handle, "retune", {**WHO, **argument}))).startswith(sentence)
    assert stage.desk.retunings == []
    for answer, sentence, times in (
        (RetuningResult(error="the delivery has just ended"), "the delivery has just ended", 1),
        (ConnectionError("10.0.0.7"), "this could not be done just now, and nothing has changed: try again", 4),
    ):
        stage.desk.retuned = answer
        assert await refusal(stage.operate(handle, "retune", {**WHO, "retry": FAST})) == sentence
        assert (len(stage.desk.retunings), (await handle.query("progress"))["operations"]) == (times, [])
    stage.desk.retuned = RetuningResult()
    progress = await stage.operate(handle, "retune", {**WHO, "retry": FAST, "destination": "hooks.example.com"})
    asked = stage.desk.retunings[-1]
    assert (asked.workflow_id, asked.run_id, asked.step) == (handle.id, handle.first_execution_run_id, "hook")
    assert asked.retry == {"initial": 10.0, "coefficient": 1}
    (noted,) = progress["operations"]
    assert (noted["name"], noted["step"], noted["details"]) == ("retune", "hook", {"retry": FAST})
    # No limit of attempts is told as a number where the delivery has one.
    await stage.operate(handle, "retune", {**WHO, "retry": {"maximum_attempts": 0}})
    assert stage.desk.retunings[-1].retry == {"attempts": UNLIMITED}
    # A deadline that was brought forward is not put back.
    await stage.operate(handle, "retune", {**WHO, "retry": {"deadline": "1d"}})
    refused = await refusal(stage.operate(handle, "retune", {**WHO, "retry": {"deadline": "36h"}}))
    assert refused == "the deadline of a delivery in flight can only be brought forward"
    await handle.terminate()


async def test_what_an_operator_changed_stays_for_this_step_also_when_it_is_tried_again(stage: Stage) -> None:
    handle = await backing_off(stage)
    await stage.operate(handle, "retune", {**WHO, "retry": {**FAST, "maximum_attempts": 2, "deadline": "1s"}})
    # The test server cannot change activities: let this one end as it would have.
    stage.channels.scripts["hook"] = failing(FailureKind.PERMANENT)
    await stage.environment.sleep(3 * 3600)
    await stage.until(handle, "held")
    tried = len(stage.channels.of("hook"))
    stage.channels.scripts["hook"] = failing(FailureKind.RETRY, times=1)
    await stage.operate(handle, "retry_step", WHO)
    await stage.result(handle)
    first, second = stage.channels.of("hook")[tried:]
    assert 8 <= (second.at - first.at).total_seconds() <= 60
    assert first.delivery.attempts == 2
    assert stage.channels.of("next")[0].delivery.attempts == 0


async def test_there_is_nothing_to_retune_without_a_delivery_under_way(stage: Stage) -> None:
    await stage.publish(BUSY.replace("  - webhook: hook", "  - wait_for: go\n  - webhook: hook"))
    handle = await stage.start("busy")
    await stage.until(handle, "waiting")
    assert (
        await refusal(stage.operate(handle, "retune", {**WHO, "retry": FAST}))
        == "nothing to retune: no delivery is in flight"
    )
    await stage.operate(handle, "skip_step", WHO)
    stage.channels.scripts["hook"] = lambda delivery, attempt: Sent(status=200, attempt=attempt)
    await stage.result(handle)


async def test_temporal_is_left_no_attempts_to_count(stage: Stage) -> None:
    step = "{sms: hook, text: a, on_failure: exit, retry: {maximum_attempts: 2}}"
    await stage.publish(f"scenario: busy\ntrigger: segment\nsteps:\n  - {step}\n")
    stage.channels.scripts["hook"] = failing(FailureKind.RETRY, times=3)
    result = await stage.run("busy")
    attempts = stage.channels.of("hook")
    assert (len(attempts), attempts[0].delivery.attempts) == (4, 2)
    assert result["steps"][0]["outcome"] == "delivered"
