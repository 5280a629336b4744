"""A line of a campaign without a workflow: what ends at once, and with which state a journey continues."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from temporalio.testing import ActivityEnvironment

from activities.attempt_context import AttemptContext
from activities.blast.line import CampaignLine, Course
from activities.channel import ChannelActivity
from activities.channel_registry import WEBHOOK, Channel
from activities.failures import Failure, FailureKind
from activities.gate import PolicyGate
from activities.interface import Delivery, Sent
from activities.open_attempt import OpenAttempt
from activities.server_clock import ServerClock
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan
from scenario.steps.delivery import delivery_id
from tests.scenarios import scenario_of
from workflows.state import State

ENTERED = datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=UTC)
STEPS: list[dict[str, Any]] = [
    {
        "if": "contact.custom.vip",
        "then": [{"webhook": "hook", "url": "https://hooks.example.com/", "body": {"id": "{{ contact.id }}"}}],
    }
]


class Answers:
    channel: Channel = WEBHOOK

    def __init__(self, *answers: Sent | Failure, pause: float | None = None) -> None:
        self.answers, self.pause = list(answers), pause
        self.sent: list[tuple[Delivery, AttemptContext]] = []

    async def send(self, delivery: Delivery, context: AttemptContext) -> Sent:
        self.sent.append((delivery, context))
        answer = self.answers.pop(0)
        if isinstance(answer, Sent):
            return answer
        raise answer.as_error(None if self.pause is None else timedelta(seconds=self.pause))


def failure(kind: FailureKind, **more: Any) -> Failure:
    given: dict[str, Any] = {"destination": "hooks.example.com", "attempt": 1, **more}
    return Failure(kind=kind, reason="the shop answered 500", **given)


def line(
    sender: Answers,
    pauses: list[tuple[float, str]] | None = None,
    *,
    vip: bool = True,
    started: datetime | None = None,
    **hook: Any,
) -> CampaignLine:
    steps = [{**STEPS[0], "then": [{**STEPS[0]["then"][0], **hook}]}]
    scenario = scenario_of(json.dumps({"scenario": "sale", "trigger": "segment", "steps": steps}))
    course = Course(
        scenario="sale@3",
        plan=compile_plan(scenario),
        info=ActivityEnvironment.default_info(),
        clock=ServerClock(started or datetime.now(UTC)),
        sender=cast("ChannelActivity[Any]", sender),
        adjust=lambda row: row,
        pause=lambda seconds, why: None if pauses is None else pauses.append((seconds, why)),
    )
    values = {"contact": {"id": "7", "custom": {"vip": vip}}, "journey": {"id": "sale/7/advent", "timezone": "UTC"}}
    return CampaignLine(course=course, workflow_id="sale/7/advent", root="r", entered=ENTERED, zone=UTC, values=values)


DELIVERED = Sent(status=200, attempt=1)


@pytest.mark.parametrize(
    ("answer", "outcome", "reason", "passed"),
    [
        (DELIVERED, "delivered", None, "delivered"),
        (Sent(outcome="skipped", reason="capped", attempt=1), "skipped", "capped", "skipped"),
        (failure(FailureKind.PERMANENT), "skipped", "failed: the shop answered 500", "failed"),
        (
            *(failure(FailureKind.UNKNOWN, unknown=True), "skipped"),
            *("it may have been delivered: the shop answered 500", "unknown"),
        ),
    ],
)
async def test_it_ends_with_an_outcome(answer: Sent | Failure, outcome: str, reason: str | None, passed: str) -> None:
    made = line(Answers(answer), on_failure="continue", on_unknown="continue")
    await made.run()
    failed = "1 of 1 deliveries failed" if passed in ("failed", "unknown") else ""
    assert made.ended == ("finished", failed)
    assert made.outcome() == (outcome, reason)
    assert made.done[-1].attempts == 1
    assert [(one.step, one.outcome) for one in made.passed()] == [("if-1", "then"), ("hook", passed)]


async def test_after_a_terminal_failure_that_may_have_been_sent_it_goes_on_as_its_step_says() -> None:
    made = line(Answers(failure(FailureKind.PERMANENT, unknown=True, exhausted=True)), on_failure="continue")
    await made.run()
    assert (made.ended or ("",))[0] == "finished"
    assert made.passed()[-1].outcome == "failed"


async def test_a_way_without_a_message_is_skipped() -> None:
    made = line(Answers(), vip=False)
    await made.run()
    assert (made.ended, made.outcome()) == (("finished", ""), ("skipped", "its way has no message"))


async def test_its_message_has_the_time_of_its_admission_and_the_id_of_a_journeys() -> None:
    sender = Answers(DELIVERED)
    await line(sender).run()
    [(delivery, context)] = sender.sent
    assert (delivery.now, delivery.step, delivery.contact) == ("2026-03-02T12:00:00+00:00", "hook", "7")
    assert delivery.id == delivery_id("sale/7/advent", "r", "hook", 0)
    assert delivery.room == delivery.timeout + 15
    assert delivery.data == {"contact": {"id": "7"}}
    assert (context.info.workflow_id, context.info.workflow_run_id, context.info.attempt) == ("sale/7/advent", "r", 1)


DUE = "2126-03-02T18:00:00+00:00"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (failure(FailureKind.RETRY, next_try_at=DUE), {"tried": 1, "now": "2026-03-02T12:00:00+00:00"}),
        (failure(FailureKind.RETRY, next_try_at=DUE, unsent=True), {"tried": 0, "scheduled": None}),
        (failure(FailureKind.NOT_BEFORE, next_try_at=DUE, attempt=0), {"tried": 0, "now": "", "scheduled": None}),
        (failure(FailureKind.PERMANENT), {"cause": "permanent", "until": None, "tried": 0}),
        (failure(FailureKind.CAPPED), {"cause": "capped", "until": None}),
        (Sent(outcome="refused_answer", status=200, attempt=1, note="why"), {"cause": "refused_answer", "until": None}),
        # The log of attempts does not have the response of a lost attempt.
        (DELIVERED, {"cause": "refused_answer", "until": None}),
        (failure(FailureKind.UNKNOWN, unknown=True), {"cause": "unknown", "until": None}),
        (failure(FailureKind.RETRY, unknown=True, unsent=True), {"cause": "unknown", "until": None}),
    ],
)
async def test_a_journey_continues_what_cannot_end_now(answer: Failure | Sent, expected: dict[str, Any]) -> None:
    made = line(Answers(answer, pause=30.0), on_unknown="hold", save={"as": "r", "required": True})
    await made.run()
    assert made.ended is None
    carried = made.carried()
    known = State(version=3, plan=dump_plan(made.course.plan), zone="UTC", entered_at="", root="r").dump()
    assert State.is_readable(known | carried)
    state = State.load(known | carried)
    assert (state.at, state.since, [one.outcome for one in state.steps]) == ("hook", ENTERED.isoformat(), ["then"])
    found = {"tried": state.tried, "now": state.now, "scheduled": state.scheduled}
    found |= {"cause": state.held and state.held.cause}
    found |= {"until": state.memory.until and state.memory.until.isoformat()}
    assert found | {"until": DUE, **expected} == found


async def test_a_message_waits_a_moment_for_its_turn() -> None:
    turned = failure(FailureKind.RETRY, turned_away=True)
    sender, pauses = Answers(turned, turned, turned, DELIVERED, pause=0.0), list[tuple[float, str]]()
    made = line(sender, pauses)
    await made.run()
    assert (made.outcome(), pauses) == (("delivered", None), [])
    for answers, pause in (([turned], 30.0), ([turned] * 4, 0.0)):
        other = line(Answers(*answers, pause=pause), pauses)
        await other.run()
        assert (other.ended, pauses.pop()) == (None, (pause, turned.reason))


async def test_a_line_goes_by_the_time_of_the_server():
    started = datetime(2100, 3, 2, 12, 0, tzinfo=UTC)
    sender = Answers(DELIVERED)
    await line(sender, started=started).run()
    assert timedelta(0) <= sender.sent[0][1].info.started_time - started < timedelta(seconds=1)


async def test_an_attempt_of_a_line_asks_no_journey_before_its_message_leaves():
    answers = Answers(Sent(status=201, attempt=1))
    await line(answers).run()
    [(delivery, context)] = answers.sent
    await OpenAttempt(
        delivery=delivery, channel=WEBHOOK, destination="", gate=cast("PolicyGate", None), context=context
    ).is_wanted()
