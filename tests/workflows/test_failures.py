"""What a delivery's end means that Temporal was told nothing of: what marks and earlier failures say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
from temporalio.exceptions import ActivityError, ApplicationError, RetryState, TimeoutType
from temporalio.exceptions import TimeoutError as ActivityTimeout

from activities.failures import Failure, FailureKind
from scenario.plan.retry import RetryPolicy
from scenario.steps.delivery import Send
from workflows.delivery import cause_of, failure_in, unsent

LOST, DEADLINE = TimeoutType.START_TO_CLOSE, TimeoutType.SCHEDULE_TO_CLOSE
SMS = Send(kind="sms", on_unknown="hold", retry=RetryPolicy(maximum_attempts=3))
DUE = "2026-03-02T08:31:00+00:00"
BUSY = Failure(kind=FailureKind.RETRY, reason="twilio answered 503", destination="twilio", attempt=2, status=503)


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


@pytest.fixture
def patched(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the journey is one that looks at marks."""

    def answer(name: str) -> bool:
        assert name == "marks"
        return getattr(request, "param", True)

    monkeypatch.setattr("temporalio.workflow.patched", answer)


@pytest.mark.usefixtures("patched")
@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        (over(LOST, ["sending"]), "unknown", "the worker was lost during an attempt"),
        (over(LOST, ["sending", 1, 2], BUSY), "unknown", "the worker was lost during an attempt"),
        (over(DEADLINE, ["sending"], BUSY), "unknown", "the worker was lost during an attempt"),
        (over(LOST, ["settled"], BUSY), "exhausted", "twilio answered 503"),
        (over(DEADLINE), "exhausted", "no attempt came to an end before they, or the deadline, were over"),
        (over(LOST), "exhausted", "no attempt came to an end before they, or the deadline, were over"),
    ],
)
def test_what_must_not_be_sent_twice_is_unknown_by_its_mark_and_by_nothing_else(
    error: ActivityError, cause: str, reason: str
) -> None:
    failure = failure_in(error, SMS)
    assert (cause_of(failure), failure.reason) == (cause, reason)


@pytest.mark.usefixtures("patched")
def test_an_earlier_failure_is_not_told_as_the_last_one() -> None:
    told = replace(BUSY, reason="wax answered 503", next_try_at=DUE)
    failure = failure_in(over(DEADLINE, told=told), Send(kind="webhook", to="wax", on_unknown="retry"))
    assert failure.reason == "wax answered 503, and no later attempt came to an end"
    assert (failure.attempt, failure.status, cause_of(failure)) == (2, 503, "exhausted")


@pytest.mark.parametrize("patched", [False], indirect=True)
@pytest.mark.usefixtures("patched")
@pytest.mark.parametrize(
    ("error", "cause"),
    [(over(LOST), "unknown"), (over(DEADLINE), "unknown"), (over(LOST, ["sending"], BUSY), "exhausted")],
)
def test_a_journey_that_went_on_without_looking_at_marks_goes_on_so(error: ActivityError, cause: str) -> None:
    assert cause_of(failure_in(error, SMS)) == cause
    assert unsent(error, SMS) is None


@pytest.mark.usefixtures("patched")
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
    again = unsent(error, Send(kind="sms", on_unknown=unknown, retry=RetryPolicy(maximum_attempts=3)))
    assert (again and again.retry.maximum_attempts) == attempts


def test_what_is_no_time_out_is_told_as_it_is() -> None:
    error = over(LOST)
    error.__cause__ = ApplicationError("x", type="ValueError")
    assert failure_in(error, SMS).reason == "the worker failed with ValueError"
