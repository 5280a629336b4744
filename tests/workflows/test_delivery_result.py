"""The retry policy of a delivery, its result and its failure, whoever reports it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.common.v1 import RetryPolicy as ProtoPolicy
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError, RetryState, TimeoutType
from temporalio.exceptions import TimeoutError as ActivityTimeout

from activities.channel_registry import WEBHOOK
from activities.failures import Failure, FailureKind, cause_of
from activities.interface import ADMIT, DECIDE, DEPART, ActivityType, Sent
from scenario.plan.retry import RetryPolicy
from scenario.steps.delivery import Send
from scenario.steps.host import KEPT_RESPONSES, EvaluationResult
from tests.stage import Stage
from workflows.delivery import retry_policy
from workflows.delivery_result import BY_HAND, failure_in, read_sent, unsent
from workflows.limits import LONGEST_REASON
from workflows.primitives import read_answer

NOT_KEPT = "the response was not kept: it is too large, or nested too deeply"

NOT_JSON = "the response was not kept: it holds a number that is too large"


def raw(text: str, encoding: bytes = b"json/plain") -> RawValue:
    return RawValue(Payload(metadata={"encoding": encoding}, data=text.encode()))


def said(**fields: Any) -> RawValue:
    return raw(json.dumps(fields))


def deep(levels: int) -> Any:
    data: Any = 1
    for _ in range(levels):
        data = [data]
    return data


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (said(outcome="delivered", status=200, attempt=2), Sent(status=200, attempt=2)),
        (said(status=200, attempt=2), Sent(status=200, attempt=2)),
        (said(outcome="delivered", attempt=2, note="so"), Sent(attempt=2, note="so")),
        (said(outcome="delivered", attempt=1, later="field"), Sent(attempt=1)),
        (said(outcome="delivered", attempt=1, saved={"a": [1]}), Sent(attempt=1, saved={"a": [1]})),
        (said(outcome="delivered", attempt=1, saved=deep(150)), Sent(attempt=1, note=NOT_KEPT)),
        (said(outcome="delivered", attempt=1, saved="x" * KEPT_RESPONSES), Sent(attempt=1, note=NOT_KEPT)),
        (raw('{"outcome": "delivered", "attempt": 1, "saved": {"a": [1e999]}}'), Sent(attempt=1, note=NOT_JSON)),
        (said(outcome="delivered"), Sent(note=BY_HAND)),
        (said(outcome="delivered", attempt=-1), Sent(note=BY_HAND)),
        (raw('"skipped"'), Sent(outcome="skipped", attempt=0, note=BY_HAND)),
        (
            said(outcome="skipped", reason="x" * 9_999, note="y" * 9_999),
            Sent(outcome="skipped", attempt=0, reason="x" * LONGEST_REASON, note="y" * LONGEST_REASON),
        ),
    ],
)
def test_a_result_is_read(answer: RawValue, sent: Sent) -> None:
    assert read_sent(WEBHOOK.send, answer, "wax") == sent


@pytest.mark.parametrize(
    "answer",
    [
        None,
        *map(raw, ("", "null", "5", "{}", "[]", "no JSON", '"weird"', '"\\ud800"', "1" + "0" * 5_000)),
        *map(raw, ("[" * 300 + "]" * 300, '{"outcome": "delivered", "saved": NaN}')),
        *(said(outcome=outcome) for outcome in ("weird", None, 1, ["delivered"])),
        *(said(outcome="delivered", status=status) for status in ("fine", [1], 1.5)),
        *(said(outcome="delivered", attempt=attempt) for attempt in (None, "first", [1])),
        raw('"delivered"', b"binary/encrypted"),
        raw("", b"binary/null"),
    ],
)
def test_a_result_that_nobody_can_read_leaves_the_outcome_unknown(answer: RawValue | None) -> None:
    failure = read_sent(WEBHOOK.send, answer, "wax")
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.destination, failure.attempt) == (FailureKind.UNKNOWN, "wax", 0)


def test_an_answer_that_cannot_be_read_is_one_that_could_not_be_given() -> None:
    for answer in (None, raw("null"), raw('{"value": true, "error": 5}'), raw("{}", b"binary/plain")):
        assert read_answer(DECIDE, answer) == EvaluationResult(error="the answer of the worker cannot be read")
    # What a newer worker says more is passed over, and nobody reads what says nothing.
    assert read_answer(DECIDE, said(value=True, because="of this")) == EvaluationResult(value=True)
    assert [read_answer(DEPART, answer) for answer in (None, raw("null"), raw("5"))] == [None] * 3
    # An admission waits for a worker that can read it.
    with pytest.raises(RuntimeError, match="This version of the workers cannot read the result of 'admit'"):
        read_answer(ADMIT, said(version="newest"))


def test_calls_compare_by_what_they_are() -> None:
    assert ActivityType("a", EvaluationResult, Sent) == ActivityType("a", EvaluationResult, Sent)


LOST, DEADLINE = TimeoutType.START_TO_CLOSE, TimeoutType.SCHEDULE_TO_CLOSE
UNBEGUN = TimeoutType.SCHEDULE_TO_START
SMS = Send(kind="sms", on_unknown="hold", retry=RetryPolicy(maximum_attempts=3))
DUE = "2026-03-02T08:31:00+00:00"
BUSY = Failure(kind=FailureKind.RETRY, reason="twilio answered 503", destination="twilio", attempt=2, status=503)


def ended(told: Failure, state: RetryState = RetryState.MAXIMUM_ATTEMPTS_REACHED) -> ActivityError:
    """As Temporal ends an activity whose last attempt said how it ended."""
    error = over(LOST, state=state)
    error.__cause__ = told.as_error()
    return error


def over(
    kind: TimeoutType, marks: Sequence[Any] = (), told: Failure | None = None, state: RetryState = RetryState.TIMEOUT
) -> ActivityError:
    """As Temporal ends an activity whose last attempt did not say how it ended."""
    timeout = ActivityTimeout("timed out", type=kind, last_heartbeat_details=marks)
    timeout.__cause__ = told.as_error() if told else None
    error = ActivityError(
        "Activity task timed out",
        scheduled_event_id=5,
        started_event_id=6,
        identity="worker",
        activity_type="send_sms",
        activity_id="text",
        retry_state=state,
    )
    error.__cause__ = timeout
    return error


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        (over(LOST, ["sending"]), "unknown", "the worker was lost during an attempt"),
        (over(LOST, ["sending", 1, 2], BUSY), "unknown", "the worker was lost during an attempt"),
        (over(DEADLINE, ["sending"], BUSY), "unknown", "the worker was lost during an attempt"),
        (ended(replace(BUSY, unknown=True, unsent=True)), "unknown", "twilio answered 503"),
        (over(LOST, ["settled"], BUSY), "exhausted", "twilio answered 503"),
        (over(DEADLINE), "exhausted", "no attempt ended before the deadline or the last allowed attempt"),
        (over(LOST), "exhausted", "no attempt ended before the deadline or the last allowed attempt"),
        (over(UNBEGUN), "exhausted", "no worker began an attempt"),
        (over(UNBEGUN, told=BUSY), "exhausted", "twilio answered 503"),
    ],
)
def test_what_must_not_be_sent_twice_is_unknown_by_its_mark_and_by_nothing_else(
    error: ActivityError, cause: str, reason: str
) -> None:
    failure = failure_in(error, SMS)
    assert (cause_of(failure), failure.reason) == (cause, reason)


def test_an_earlier_failure_is_not_told_as_the_last_one() -> None:
    told = replace(BUSY, reason="wax answered 503", next_try_at=DUE)
    failure = failure_in(over(DEADLINE, told=told), Send(kind="webhook", to="wax", on_unknown="retry"))
    assert failure.reason == "wax answered 503, and no later attempt came to an end"
    assert (failure.attempt, failure.status, cause_of(failure)) == (2, 503, "exhausted")


@pytest.mark.parametrize(
    ("error", "unknown", "attempts"),
    [
        (over(LOST, state=RetryState.NON_RETRYABLE_FAILURE), "hold", 3),  # as it was scheduled before
        (over(LOST, ["settled"], BUSY, RetryState.MAXIMUM_ATTEMPTS_REACHED), "hold", 1),
        (over(LOST, ["sending"], state=RetryState.MAXIMUM_ATTEMPTS_REACHED), "hold", None),
        (over(LOST, state=RetryState.MAXIMUM_ATTEMPTS_REACHED), "retry", None),
        (over(DEADLINE), "hold", None),
    ],
)
def test_an_attempt_that_was_lost_before_it_sent_is_made_once_more(
    error: ActivityError, unknown: Literal["hold", "retry"], attempts: int | None
) -> None:
    again = unsent(error, Send(kind="sms", on_unknown=unknown, retry=RetryPolicy(maximum_attempts=3)), 60.0)
    assert (again and again.retry.maximum_attempts) == attempts


@pytest.mark.parametrize(
    ("told", "left", "deadline"), [(None, 60.0, 60.0), (None, 0.0, None), (None, -5.0, None), (BUSY, 60.0, None)]
)
@pytest.mark.parametrize("unknown", ["hold", "retry"])
def test_a_delivery_that_no_worker_began_is_scheduled_again_until_its_deadline(
    told: Failure | None, left: float, deadline: float | None, unknown: Literal["hold", "retry"]
) -> None:
    step = Send(kind="webhook", to="wax", destination=True, on_unknown=unknown)
    again = unsent(over(UNBEGUN, told=told), step, left)
    # What the destination asks for does not lengthen it.
    assert (again and again.as_asked({"deadline": 999.0}, None).retry.deadline) == deadline


async def test_a_journey_goes_on_though_the_server_gave_up_a_delivery_that_no_worker_began(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute, limits = workflow.execute_activity, list[timedelta]()

    async def ignored_at_first(*arguments: Any, **options: Any) -> Any:
        limits.append(options["schedule_to_close_timeout"])
        if len(limits) == 1:
            await workflow.sleep(timedelta(hours=1))
            raise over(UNBEGUN)
        return await execute(*arguments, **options)

    monkeypatch.setattr(workflow, "execute_activity", ignored_at_first)
    await stage.publish("scenario: once\ntrigger: segment\nsteps:\n  - sms: text\n    text: hi\n")
    result = await stage.run("once")
    assert [step["outcome"] for step in result["steps"]] == ["delivered"]
    assert timedelta(hours=1) <= limits[0] - limits[1] < timedelta(hours=1, minutes=1)


STOPPED = Failure(
    kind=FailureKind.RETRY,
    reason="The worker was stopped before it sent anything",
    destination="twilio",
    attempt=3,
    error="worker_stopped",
    unsent=True,
)


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (ended(STOPPED), 1),
        (ended(replace(STOPPED, error="store")), 1),
        (ended(replace(STOPPED, error="called_off", unsent=False)), None),  # a pause, perhaps
        (ended(replace(STOPPED, unknown=True, unsent=False)), None),
        (ended(replace(STOPPED, unknown=True)), None),  # an earlier attempt may have delivered it
        (ended(replace(STOPPED, kind=FailureKind.PERMANENT, exhausted=True)), None),  # the deadline is over
        (ended(STOPPED, RetryState.TIMEOUT), None),
        (ended(BUSY), None),
    ],
)
@pytest.mark.parametrize("unknown", ["hold", "retry"])
def test_a_last_attempt_that_says_that_it_sent_nothing_is_made_once_more(
    error: ActivityError, attempts: int | None, unknown: Literal["hold", "retry"]
) -> None:
    again = unsent(error, Send(kind="sms", on_unknown=unknown, retry=RetryPolicy(maximum_attempts=3)), 60.0)
    assert (again and again.retry.maximum_attempts) == attempts


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (RetryState.MAXIMUM_ATTEMPTS_REACHED, "no attempt is left: The mail server m has refused the login"),
        (RetryState.TIMEOUT, "the deadline passed meanwhile: The mail server m has refused the login"),
        (RetryState.NON_RETRYABLE_FAILURE, "the deadline passed meanwhile: The mail server m has refused the login"),
    ],
)
def test_one_that_still_waited_for_its_turn_says_what_was_over(state: RetryState, reason: str) -> None:
    told = "The mail server m has refused the login: check user and password in SCENARIO_SMTP"
    alone = replace(STOPPED, reason=told, error="login_left_alone", turned_away=True, why=told.partition(": ")[0])
    failure = failure_in(ended(alone, state), Send(kind="email", on_unknown="retry"))
    assert (failure.reason, cause_of(failure)) == (reason, "exhausted")


def test_what_is_no_time_out_is_told_as_it_is() -> None:
    error = over(LOST)
    error.__cause__ = ApplicationError("x", type="ValueError")
    assert failure_in(error, SMS).reason == "the worker failed with ValueError"


def test_no_jitter_makes_a_policy_that_temporal_refuses() -> None:
    """The longest pause is the first one: rounding must not put it below."""
    seconds = 5.0
    step = Send(
        kind="webhook",
        to="wax",
        retry=RetryPolicy(initial_interval=seconds, maximum_interval=seconds, backoff_coefficient=1.0),
    )
    initial: set[float] = set()
    for number in range(2000):
        policy = retry_policy(step, f"msg_{number}")
        policy.apply_to_proto(ProtoPolicy())  # checks it
        initial.add(policy.initial_interval.total_seconds())
    assert seconds * 0.8 <= min(initial) < seconds * 0.81
    assert seconds * 1.19 < max(initial) <= seconds * 1.2


def test_no_number_of_attempts_is_too_large_for_temporal() -> None:
    """A policy that cannot be written fails the workflow task, forever."""
    policy = retry_policy(Send(kind="sms", retry=RetryPolicy(maximum_attempts=10**20)), "msg_1")
    policy.apply_to_proto(ProtoPolicy())
