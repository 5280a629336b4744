"""Repetitions: when rounds begin, what ends them, what becomes of them in other runs and by operators."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from scenario.steps.host import Rounds
from scenario.time.timing import spell
from tests.workflows.conftest import Stage
from workflows.limits import KEPT_STEPS
from workflows.state import State, StepRecord

PARIS = ZoneInfo("Europe/Paris")
WHO = {"operator": "ann", "reason": "seen"}
WEEKLY = """
scenario: weekly
trigger: order
timezone: Europe/Paris
exit: [{event: order.returned}]
steps:
  - repeat: {every: 7d, times: 4, until: UNTIL}
    steps:
      - sms: hi
        text: "hi"
      - wait: WAIT
  - sms: after
    text: "{{ event.step | default: 'no event' }}"
"""
ORDER: dict[str, Any] = {"type": "order", "order": {"external_id": "1"}}


def weekly(until: str, wait: str = "1h") -> str:
    return WEEKLY.replace("UNTIL", until).replace("WAIT", wait)


async def at(stage: Stage, local: str) -> None:
    """Brings the server's clock to a local time."""
    begin = datetime.fromisoformat(local).replace(tzinfo=PARIS).astimezone(UTC)
    await stage.environment.sleep(begin - await stage.now())


def sent(stage: Stage, step: str = "hi") -> list[str]:
    return [
        spell(attempt.at.replace(second=0, microsecond=0), PARIS).removesuffix(" Europe/Paris")
        for attempt in stage.channels.of(step)
    ]


def told(result: dict[str, Any]) -> list[str]:
    return [f"{step['id']} {step['outcome']} {step.get('reason', '')}".strip() for step in result["steps"]]


async def test_rounds_begin_at_the_same_local_time_and_each_is_a_delivery(stage: Stage) -> None:
    await stage.publish(weekly("contact.custom.stop"))
    await at(stage, "2027-03-20 09:00")
    result = await stage.run("weekly", ORDER)
    assert sent(stage) == [
        "Sat 2027-03-20 09:00",
        "Sat 2027-03-27 09:00",
        "Sat 2027-04-03 09:00",
        "Sat 2027-04-10 09:00",
    ]
    assert sent(stage, "after") == ["Sat 2027-04-10 10:00"]  # behind the last round at once
    assert len({attempt.delivery.id for attempt in stage.channels.of("hi")}) == 4
    assert told(result)[:4] == [
        "repeat-1 round round 1 of 4",
        "hi delivered",
        "wait-1.round.2 waited",
        "repeat-1 round round 2 of 4",
    ]
    assert told(result)[-2:] == ["repeat-1 ended after 4 rounds", "after delivered"]


async def test_a_round_that_lasts_longer_puts_off_the_next(stage: Stage) -> None:
    await stage.publish(weekly("contact.custom.stop", "10d"))
    await at(stage, "2027-05-01 09:00")
    await stage.run("weekly", ORDER)
    assert sent(stage) == [
        "Sat 2027-05-01 09:00",
        "Tue 2027-05-11 09:00",
        "Fri 2027-05-21 09:00",
        "Mon 2027-05-31 09:00",
    ]


async def test_a_condition_ends_it_as_soon_as_the_contact_changes_or_before_the_first_round(stage: Stage) -> None:
    await stage.publish(weekly("contact.custom.stop == true"))
    handle = await stage.start("weekly", ORDER)
    await stage.environment.sleep(timedelta(days=8))
    progress = await stage.until(handle, "waiting")
    assert (progress["at"], progress["rounds"]) == ("repeat-1", [{"step": "repeat-1", "round": 2, "of": 4}])
    await handle.signal("contact_changed", {"custom": {"stop": True}})
    result = await stage.result(handle)
    assert told(result)[-2:] == ["repeat-1 until after 2 rounds", "after delivered"]
    assert stage.channels.of("after")[0].at - stage.channels.of("hi")[1].at < timedelta(days=2)
    result = await stage.run("weekly", ORDER, contact={"custom": {"stop": True}})
    assert told(result) == ["repeat-1 until after 0 rounds", "after delivered"]


async def test_an_event_ends_it_at_once_between_rounds_and_behind_the_round_in_which_it_comes(stage: Stage) -> None:
    await stage.publish(weekly("{event: email.clicked, if: event.step == 'hi'}", "2d"))
    early = {"name": "email.clicked", "properties": {"step": "other"}}
    click = {"name": "email.clicked", "properties": {"step": "hi"}}
    between = await stage.start("weekly", ORDER)
    await stage.environment.sleep(timedelta(days=10))  # in the wait for the third round
    await between.signal("event", early)
    await between.signal("event", click)
    assert told(await stage.result(between))[-2:] == ["repeat-1 event after 2 rounds", "after delivered"]
    [after] = stage.channels.of("after")
    assert after.delivery.data["event"]["step"] == "hi"
    assert after.at - stage.channels.of("hi")[1].at < timedelta(days=4)
    during = await stage.start("weekly", ORDER)
    await stage.environment.sleep(timedelta(days=8))
    await during.signal("event", click)
    result = await stage.result(during)
    assert told(result)[-3:] == ["wait-1.round.2 waited", "repeat-1 event after 2 rounds", "after delivered"]


async def test_an_exit_rule_acts_between_rounds_and_in_them_and_a_skipped_repetition_is_over(stage: Stage) -> None:
    await stage.publish(weekly("contact.custom.stop", "2d"))
    for days, place in ((8, "wait-1.round.2"), (10, "repeat-1")):
        handle = await stage.start("weekly", ORDER)
        await stage.environment.sleep(timedelta(days=days))
        await handle.signal("event", {"name": "order.returned"})
        result = await stage.result(handle)
        assert (result["reason"], told(result)[-1]) == ("event order.returned", f"{place} left event order.returned")
    handle = await stage.start("weekly", ORDER)
    await stage.attempted("hi")
    await stage.until(handle, "waiting")
    await stage.operate(handle, "skip_step", {**WHO, "step": "wait-1.round.2"})
    assert (await stage.until(handle, "waiting"))["at"] == "repeat-1"
    progress = await stage.operate(handle, "pause", WHO)
    assert progress["rounds"] == [{"step": "repeat-1", "round": 1, "of": 4}]
    await stage.operate(handle, "skip_step", {**WHO, "step": "repeat-1"})
    await stage.operate(handle, "resume", WHO)
    assert told(await stage.result(handle))[-2:] == ["repeat-1 skipped skipped by ann: seen", "after delivered"]


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


async def test_a_condition_that_cannot_be_evaluated_holds_the_journey(stage: Stage) -> None:
    await stage.publish(weekly("contact.custom.n > 2"))
    handle = await stage.start("weekly", ORDER, contact={"custom": {"n": "x"}})
    progress = await stage.until(handle, "held")
    assert progress["waiting"]["reason"].startswith("the condition cannot be evaluated: ")
    await handle.signal("contact_changed", {"custom": {"n": None}})
    await stage.operate(handle, "retry_step", WHO)
    assert told(await stage.result(handle))[-2:] == ["repeat-1 ended after 4 rounds", "after delivered"]
