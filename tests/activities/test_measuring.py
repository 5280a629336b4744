"""What is measured of an attempt."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from activities.attempt import attempt_of
from activities.channel_registry import EMAIL
from activities.interface import Delivery
from activities.open_attempt import OpenAttempt
from activities.outcome import Backoff, Judgement, Outcome, Verdict
from runtime.errors import StoreUnavailable
from runtime.telemetry.metrics import ATTEMPTS, DURATION, SKIPPED, START_TO_FIRST_SEND, UNSENT, WAIT
from scenario.errors import Aborted
from scenario.policies.order import Defer, Hold, Skip
from scenario.words import SkipReason
from tests.fakes import Marks, OpenGate, Rows
from tests.measured import Measured

NOON = datetime(2100, 3, 2, 12, 0, tzinfo=UTC)
"""Later than this machine's clock: so that the server's is what counts."""
NOW = NOON.isoformat(timespec="seconds")
DELIVERY = Delivery(id="msg_1", scenario="welcome@1", step="thanks", contact="3028687", now=NOW)
ALL = (ATTEMPTS, DURATION, SKIPPED, START_TO_FIRST_SEND, UNSENT, WAIT)


async def made(block: Callable[[OpenAttempt], Any], delivery: Delivery = DELIVERY, **info: Any) -> Measured:
    environment = Marks().environment()
    given: dict[str, Any] = {"scheduled_time": NOON, "started_time": NOON, "attempt": 1, **info}
    policy = RetryPolicy(initial_interval=timedelta(seconds=1))
    environment.info = replace(environment.info, retry_policy=policy, **given)
    measured = Measured(*ALL)

    async def attempted() -> None:
        async with attempt_of(delivery, channel=EMAIL, destination="mx", log=Rows(), gate=OpenGate()) as attempt:
            if (going := block(attempt)) is not None:
                await going

    with suppress(ApplicationError):
        await environment.run(attempted)
    return measured


def delivered(attempt: OpenAttempt) -> None:
    attempt.delivered(250)


def failed(outcome: Outcome, asked: int | None = None) -> Callable[[OpenAttempt], Any]:
    def block(attempt: OpenAttempt) -> None:
        raise attempt.failed(Judgement(Verdict(outcome, "busy"), "It did not work", asked))

    return block


def answered(answer: Backoff | Defer | Skip | Hold) -> Callable[[OpenAttempt], Any]:
    def block(attempt: OpenAttempt) -> None:
        attempt.obey(answer)

    return block


@pytest.mark.parametrize(
    ("block", "number", "series"),
    [
        (delivered, 1, ("delivered", "first")),
        (delivered, 3, ("delivered", "retry")),
        (failed(Outcome.RETRY), 1, ("retry", "first")),
        (failed(Outcome.PERMANENT), 2, ("failed", "retry")),
        (answered(Skip("it is over", "capped")), 1, ("skipped", "first")),
        (answered(Defer(NOON + timedelta(hours=1), "quiet hours", "quiet")), 1, None),
        (answered(Backoff(timedelta(hours=1), "busy", "it waits", "busy")), 2, None),
        (answered(Hold("a cap is full")), 1, None),
    ],
)
async def test_attempts_are_counted_by_how_they_ended_and_what_is_turned_away_is_none(
    block: Callable[[OpenAttempt], Any], number: int, series: tuple[str, str] | None
):
    measured = await made(block, attempt=number)
    assert measured.of(ATTEMPTS) == ({("email", "mx", *series): (1, 1)} if series else {})


@pytest.mark.parametrize(
    ("raised", "reason"),
    [(StoreUnavailable("the store is away"), "store"), (ZeroDivisionError(), "error"), (TimeoutError(), "error")],
)
async def test_what_ended_before_it_could_send_is_not_the_destination_s_failure(raised: Exception, reason: str):
    def block(_: OpenAttempt) -> None:
        raise raised

    measured = await made(block)
    assert measured.of(ATTEMPTS) == {}
    assert measured.of(UNSENT) == {("email", reason): (1, 1)}
    assert (await made(failed(Outcome.RETRY))).of(UNSENT) == {}


@pytest.mark.parametrize(
    ("scheduled", "ended", "seconds", "kept_back"),
    [
        # The step's time is known to the second, and the server's more exactly.
        (timedelta(seconds=0.75), timedelta(seconds=1), 0.25, "no"),
        (timedelta(seconds=0.75), timedelta(hours=2), 7_199.25, "no"),  # tried for two hours
        (timedelta(seconds=9), timedelta(seconds=10), 10, "no"),  # the worker was busy
        # It was given to the server anew: quiet hours were over, or an operator let a held journey go on.
        (timedelta(hours=9), timedelta(hours=9, seconds=1), 32_401, "yes"),
        (timedelta(seconds=-1), timedelta(seconds=2), 2, "no"),  # clocks differ
    ],
)
async def test_a_delivery_takes_as_long_as_its_step_does(
    scheduled: timedelta, ended: timedelta, seconds: float, kept_back: str
):
    measured = await made(delivered, scheduled_time=NOON + scheduled, started_time=NOON + ended)
    assert measured.of(DURATION) == {("email", "mx", kept_back): (1, pytest.approx(seconds))}


async def test_what_is_not_delivered_took_no_time():
    for block in (failed(Outcome.RETRY), answered(Skip("it is over", "expired"))):
        assert (await made(block)).of(DURATION) == {}


@pytest.mark.parametrize(
    ("raised", "reason"),
    [(Skip("it is over", SkipReason.SUPPRESSED), "suppressed"), (Aborted("nobody there"), "template")],
)
async def test_a_message_is_skipped_for_a_reason(raised: Skip | Exception, reason: str):
    def block(attempt: OpenAttempt) -> None:
        if isinstance(raised, Exception):
            raise raised
        attempt.obey(raised)

    assert (await made(block)).of(SKIPPED) == {("email", reason): (1, 1)}


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("quiet", "quiet"),
        ("capped", "cap"),
        ("busy", "concurrency"),
        ("breaker_open", "breaker"),
        ("login_left_alone", "login"),
        ("journey", "journey"),
    ],
)
async def test_a_message_waits_for_a_reason(word: str, why: str):
    answer = (
        Defer(NOON + timedelta(minutes=7), "not yet", word)
        if word in ("quiet", "capped")
        else Backoff(timedelta(minutes=7), "not yet", "it waits", word)
    )
    assert (await made(answered(answer))).of(WAIT) == {("email", why): (1, 420)}


async def test_a_receiver_that_asks_to_be_left_alone_makes_it_wait():
    assert (await made(failed(Outcome.RETRY, 90))).of(WAIT) == {("email", "retry_after"): (1, 90)}
    assert (await made(failed(Outcome.RETRY))).of(WAIT) == {}
    assert (await made(failed(Outcome.PERMANENT, 90))).of(WAIT) == {}  # nothing waits


@pytest.mark.parametrize(("entered", "attempt", "series"), [(2.5, 1, 1), (2.5, 2, 0), (0, 1, 0)])
async def test_a_journey_s_first_message_is_timed_once(entered: float, attempt: int, series: int):
    async def block(one: OpenAttempt) -> None:
        await one.sending()

    began = NOON.timestamp() - entered if entered else 0.0
    measured = await made(block, replace(DELIVERY, entered=began), attempt=attempt)
    assert measured.of(START_TO_FIRST_SEND) == ({("email",): (1, pytest.approx(2.5))} if series else {})
