"""The retry policy of a delivery under way, changed by an operator: what is asked of the server, and what stays."""

from typing import Any

from temporalio.client import WorkflowHandle

from activities.failures import FailureKind
from activities.interface import RetuningResult, Sent
from scenario.plan.retry import UNLIMITED
from tests.workflows.conftest import WHO, Stage, failing, refusal

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


async def test_the_server_is_asked_to_change_just_what_the_operation_names(stage: Stage) -> None:
    handle = await backing_off(stage)
    argument = {**WHO, "retry": FAST, "destination": "hooks.example.com"}
    progress = await stage.operate(handle, "retune", argument)
    asked = stage.desk.retunings[0]
    assert (asked.workflow_id, asked.run_id, asked.step) == (handle.id, handle.first_execution_run_id, "hook")
    assert asked.retry == {"initial": 10.0, "coefficient": 1}
    (noted,) = progress["operations"]
    assert (noted["name"], noted["step"], noted["details"]) == ("retune", "hook", {"retry": FAST})
    # No limit of attempts is told as a number where the delivery has one.
    await stage.operate(handle, "retune", {**WHO, "retry": {"maximum_attempts": 0}})
    assert stage.desk.retunings[1].retry == {"attempts": UNLIMITED}
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


async def test_an_operation_that_makes_no_sense_is_refused(stage: Stage) -> None:
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
    # One that was brought forward is not put back.
    await stage.operate(handle, "retune", {**WHO, "retry": {"deadline": "1d"}})
    refused = await refusal(stage.operate(handle, "retune", {**WHO, "retry": {"deadline": "36h"}}))
    assert refused == "the deadline of a delivery in flight can only be brought forward"
    await handle.terminate()


async def test_what_the_server_refuses_or_does_not_answer_is_not_done(stage: Stage) -> None:
    handle = await backing_off(stage)
    for answer, sentence, asked in (
        (RetuningResult(error="the delivery has just ended"), "the delivery has just ended", 1),
        (ConnectionError("10.0.0.7"), "this could not be done just now, and nothing has changed: try again", 4),
    ):
        stage.desk.retuned = answer
        assert await refusal(stage.operate(handle, "retune", {**WHO, "retry": FAST})) == sentence
        assert (len(stage.desk.retunings), (await handle.query("progress"))["operations"]) == (asked, [])
    await handle.terminate()


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
