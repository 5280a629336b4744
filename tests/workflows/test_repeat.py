"""Repetitions: when rounds begin, what ends them, what becomes of them in other runs and by operators."""

from datetime import timedelta
from typing import Any

import pytest

from scenario.steps.host import Rounds
from tests.workflows.conftest import WHO, Stage
from workflows.limits import KEPT_STEPS
from workflows.state import State, StepRecord

WEEKLY = """
scenario: weekly
trigger: order
timezone: Europe/Paris
steps:
  - repeat: {every: 7d, times: 4, until: contact.custom.stop}
    steps:
      - sms: hi
        text: hi
      - wait: 2d
  - sms: after
    text: hi
"""
ORDER: dict[str, Any] = {"type": "order", "order": {"external_id": "1"}}


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


NESTED = """
scenario: nested
trigger: order
steps:
  - repeat: {every: 1d, times: 3}
    steps:
      - repeat: {every: 1h, times: 2}
        steps:
          - sms: hi
            text: "{{ order.external_id }}"
"""


@pytest.mark.usefixtures("_always_suggested")
async def test_rounds_in_rounds_go_on_in_other_runs(stage: Stage) -> None:
    await stage.publish(NESTED)
    handle = await stage.start("nested", ORDER)
    result = await stage.result(handle)
    hours = [(attempt.at - stage.channels.attempts[0].at) / timedelta(hours=1) for attempt in stage.channels.attempts]
    assert [round(hour) for hour in hours] == [0, 1, 24, 25, 48, 49]
    assert len({attempt.delivery.id for attempt in stage.channels.attempts}) == 6
    assert told(result)[-5:] == [
        "hi delivered",
        "repeat-1.round.1 round round 2 of 2",
        "hi delivered",
        "repeat-1.round.1 ended after 2 rounds",
        "repeat-1 ended after 3 rounds",
    ]
    run = (await stage.client.get_workflow_handle(handle.id).describe()).run_id
    assert run != handle.first_execution_run_id


def test_of_steps_that_are_repeated_the_oldest_records_are_forgotten_and_never_the_latest() -> None:
    kept = State(version=1, plan={}, zone="UTC", entered_at="2027-01-01T00:00:00+00:00", root="r")
    names = ["once", *(("a", "b") * KEPT_STEPS), "last"]
    for number, name in enumerate(names):
        kept.record(StepRecord(id=name, kind="sms", outcome="delivered", at=str(number)))
    assert (len(kept.steps), kept.forgotten) == (KEPT_STEPS, len(names) - KEPT_STEPS)
    assert [record.at for record in kept.steps[:2]] == ["0", str(len(names) - KEPT_STEPS + 1)]
    kept.memory.rounds["a"] = Rounds(number=2, began="2027-01-01T00:00:00+00:00", mark=1)
    assert State.load(kept.dump()) == kept
    for name in names[: KEPT_STEPS + 50]:  # nothing that was done once is forgotten
        kept.record(StepRecord(id=f"{name}{len(kept.steps)}", kind="sms", outcome="delivered", at=""))
    kept.go("once")
    assert kept.visits == {"once": 1}
