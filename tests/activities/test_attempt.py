"""One attempt, from its beginning to its end, and what is measured of it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from temporalio import activity
from temporalio.activity import ActivityCancellationDetails
from temporalio.api.enums.v1 import EventType, PendingActivityState, PendingWorkflowTaskState
from temporalio.api.failure.v1 import ApplicationFailureInfo, TimeoutFailureInfo
from temporalio.api.failure.v1 import Failure as TemporalFailure
from temporalio.api.history.v1 import (
    ActivityTaskScheduledEventAttributes,
    HistoryEvent,
    TimerFiredEventAttributes,
    WorkflowExecutionSignaledEventAttributes,
)
from temporalio.api.workflow.v1 import PendingWorkflowTaskInfo
from temporalio.client import AsyncActivityCancelledError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities import attempt_context
from activities.attempt import attempt_of
from activities.attempt_context import REPORTS
from activities.channel_registry import SMS
from activities.content import UnknownVersion
from activities.failures import CONTACT_CHANGED, Failure, FailureKind, failure_of
from activities.gate import OutgoingMessage, PolicyGate
from activities.interface import DELIVERY_DELAYED, Delivery, Sent
from activities.open_attempt import OpenAttempt
from activities.outcome import AlreadyDelivered, Backoff, Judgement, Outcome, Verdict
from runtime.errors import SettingsError, StoreUnavailable
from runtime.store import Attempt
from runtime.telemetry.metrics import ATTEMPTS, DURATION, SKIPPED, START_TO_FIRST_SEND, UNSENT, WAIT
from scenario.errors import Aborted, NotConfigured, TemplateError
from scenario.policies.order import Defer, Hold, Ruling, Skip
from scenario.policies.suppression import AddressVerdict
from scenario.words import SkipReason
from tests.factories import delivery, present
from tests.fakes import Marks, Rows
from tests.measured import Measured

HOUR = timedelta(hours=1)
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOLD = delivery("thanks", now="2026-03-02T12:00:00+00:00", on_unknown="hold", room=0)
RETRY = replace(HOLD, on_unknown="retry")
Block = Callable[[OpenAttempt], Any]


class Broken(Rows):
    def put(self, attempt: Attempt) -> None:
        raise RuntimeError("no log today")


class Unreadable(Rows):
    async def delivered(self, delivery_id: str) -> Attempt | None:
        raise StoreUnavailable("the store is away")


class Gate(PolicyGate):
    def __init__(self, answer: Ruling = None, rejected: Skip | Exception | None = None) -> None:
        self.answer, self.skip = answer, rejected
        self.messages: list[OutgoingMessage] = []
        self.verdicts: list[AddressVerdict] = []
        self.reports: list[bool] = []

    async def check(self, message: OutgoingMessage) -> Ruling:
        self.messages.append(message)
        return self.answer

    def recipient(self, message: OutgoingMessage) -> str | None:
        return f"hash of {message.address}"

    async def rejected(self, message: OutgoingMessage, verdict: AddressVerdict) -> Skip | None:
        assert message == self.messages[-1]
        self.verdicts.append(verdict)
        if isinstance(self.skip, Exception):
            raise self.skip
        return self.skip

    async def not_delivered(self, message: OutgoingMessage, *, uncertain: bool) -> None:
        assert (message.delivery.id, message.channel) == (HOLD.id, SMS)
        self.reports.append(uncertain)
        raise RuntimeError("the store is away")  # which costs the attempt nothing


class Stage:
    def __init__(self) -> None:
        self.marks = Marks()
        self.environment = self.marks.environment()
        policy = RetryPolicy(
            initial_interval=timedelta(seconds=5), backoff_coefficient=3.0, maximum_interval=timedelta(hours=6)
        )
        self.change(
            attempt=3,
            started_time=NOON,
            scheduled_time=NOON - timedelta(minutes=1),
            schedule_to_close_timeout=timedelta(days=3),
            workflow_id="post-purchase/3028687",
            workflow_run_id="run",
            retry_policy=policy,
        )

    @property
    def info(self) -> activity.Info:
        return self.environment.info

    def change(self, **info: Any) -> None:
        self.environment.info = replace(self.environment.info, **info)

    def schedule(self, age: timedelta = timedelta(0), **info: Any) -> None:
        now = datetime.now(UTC)
        times = {"scheduled_time": now - age, "started_time": now, "current_attempt_scheduled_time": now}
        self.change(**(times | info))

    async def run(
        self,
        delivery: Delivery,
        block: Block,
        log: Rows | None = None,
        unrendered: str = "",
        gate: Gate | None = None,
    ) -> tuple[Sent | None, BaseException | None, Attempt]:
        """Make an attempt: its result, the error that it raised and its row, of which some are missing."""
        rows = Rows() if log is None else log

        async def attempted() -> Sent:
            made = attempt_of(
                delivery, channel=SMS, destination="twilio", log=rows, gate=gate or Gate(), unrendered=unrendered
            )
            async with made as attempt:
                result = block(attempt)
                if asyncio.iscoroutine(result):
                    await result
            return attempt.sent

        sent, error = None, None
        try:
            sent = await self.environment.run(attempted)
        except BaseException as raised:
            error = raised
        return sent, error, rows[0] if rows else None  # type: ignore[return-value]

    async def refused(self, delivery: Delivery, block: Block, **more: Any) -> tuple[Failure, ApplicationError, Attempt]:
        _, error, row = await self.run(delivery, block, **more)
        assert isinstance(error, ApplicationError), error
        failure = present(failure_of(error))
        return failure, error, row


def answered(answer: Backoff | Defer | Hold | Skip) -> Block:
    return lambda attempt: attempt.obey(answer)


def put_off(seconds: float, word: str = "breaker_open") -> Block:
    return answered(Backoff(timedelta(seconds=seconds), "wax is down", "it waits", word))


def failing_with(make: Callable[[OpenAttempt], BaseException]) -> Block:
    def block(attempt: OpenAttempt) -> None:
        raise make(attempt)

    return block


def raising(error: BaseException) -> Block:
    return failing_with(lambda _: error)


def judged(outcome: Outcome, asked: int | None = None) -> Block:
    return failing_with(lambda one: one.failed(Judgement(Verdict(outcome, "busy"), "It did not work", asked)))


def putting_off(delay: timedelta) -> Block:
    return failing_with(lambda one: one.uncounted("It has to wait", "busy", delay=delay))


def unsent(word: str) -> Block:
    return failing_with(lambda one: one.not_sent("It was not sent", word))


async def sending(attempt: OpenAttempt) -> None:
    await attempt.sending()


def delivered(attempt: OpenAttempt) -> None:
    attempt.delivered(201)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def asking(attempt: OpenAttempt) -> None:
    await attempt.may_leave("+33612345678")
    attempt.delivered(201)


def failing(
    kind: FailureKind, sending: bool = True, *, unknown: bool = False, error: str | None = None, **details: Any
) -> Block:
    async def block(attempt: OpenAttempt) -> None:
        if sending:
            await attempt.sending()
        if kind is FailureKind.RETRY:
            raise attempt.failed(Judgement(Verdict(Outcome.RETRY, error or "", unknown), "It did not work"), **details)
        raise attempt.failure(kind, "It did not work", unknown=unknown, error=error, **details)

    return block


async def test_a_delivered_attempt_is_recorded_with_everything_a_person_asks_for(stage: Stage):
    span = TracerProvider().get_tracer("test").start_as_current_span("attempt")
    with span as current:
        sent, error, row = await stage.run(HOLD, lambda attempt: attempt.delivered(201, "taken"))
        trace_id = format(current.get_span_context().trace_id, "032x")

    assert (sent, error) == (Sent(status=201, attempt=3), None)
    assert replace(row, milliseconds=0) == Attempt(
        delivery_id="msg_1",
        attempt=3,
        workflow_id="post-purchase/3028687",
        run_id="run",
        scenario="post-purchase",
        version=3,
        step="thanks",
        channel="sms",
        destination="twilio",
        contact_id="3028687",
        started_at=NOON,
        milliseconds=0,
        outcome="delivered",
        status=201,
        response="taken",
        trace_id=trace_id,
        now=HOLD.now,
    )


@pytest.mark.parametrize(
    ("raised", "kind", "word", "reason"),
    [
        (NotConfigured("the secret A is missing"), FailureKind.UNCONFIGURED, "unconfigured", "The secret A is missing"),
        (UnknownVersion("a@1 is gone"), FailureKind.TEMPLATE, "unknown_version", "Not rendered: a@1 is gone"),
        (TemplateError("odd"), FailureKind.TEMPLATE, "template_failed", "Not rendered: odd"),
    ],
)
async def test_what_comes_up_before_anything_is_sent_is_told_in_one_way(
    stage: Stage, raised: Exception, kind: FailureKind, word: str, reason: str
):
    failure, _, row = await stage.refused(HOLD, raising(raised), unrendered="Not rendered: ")
    assert (failure.kind, failure.error, failure.reason, failure.attempt) == (kind, word, reason, 3)
    assert (row.outcome, row.error, stage.marks) == ("failed", word, [])


async def test_the_same_error_after_something_was_sent_is_no_word_on_what_became_of_it(stage: Stage):
    async def block(attempt: OpenAttempt) -> None:
        await attempt.sending()
        raise TemplateError("odd")

    _, error, row = await stage.run(RETRY, block)
    assert isinstance(error, TemplateError)
    assert row.outcome == "unknown"


async def test_a_message_that_a_template_calls_off_is_skipped(stage: Stage):
    sent, error, row = await stage.run(HOLD, raising(Aborted("nobody there")))
    assert (sent, error, row.outcome) == (Sent(outcome="skipped", attempt=3, reason="nobody there"), None, "skipped")


@pytest.mark.parametrize(
    ("delivery", "kind", "details", "word", "raised"),
    [
        (HOLD, FailureKind.RETRY, {"status": 429, "excerpt": "slower"}, "retry", FailureKind.RETRY),
        (HOLD, FailureKind.PERMANENT, {"error": "21211"}, "failed", FailureKind.PERMANENT),
        (HOLD, FailureKind.UNCONFIGURED, {}, "failed", FailureKind.UNCONFIGURED),
        (HOLD, FailureKind.RETRY, {"unknown": True}, "unknown", FailureKind.UNKNOWN),
        (replace(HOLD, on_unknown="continue"), FailureKind.RETRY, {"unknown": True}, "unknown", FailureKind.UNKNOWN),
        (RETRY, FailureKind.RETRY, {"unknown": True}, "unknown", FailureKind.RETRY),
    ],
)
async def test_a_failure_is_recorded_and_raised(
    stage: Stage, delivery: Delivery, kind: FailureKind, details: dict[str, Any], word: str, raised: FailureKind
):
    failure, error, row = await stage.refused(delivery, failing(kind, **details))
    assert (failure.kind, failure.destination, failure.attempt) == (raised, "twilio", 3)
    assert error.non_retryable == (raised is not FailureKind.RETRY) == (row.next_try_at is None)
    assert (row.outcome, row.status, row.error) == (word, details.get("status"), details.get("error"))
    assert row.response == details.get("excerpt")


@pytest.mark.parametrize(
    ("attempt", "policy", "delay", "seconds"),
    [
        (3, {}, None, 45),
        (9, {}, None, 6 * 3600),
        (5000, {}, None, 6 * 3600),
        (3, {}, timedelta(minutes=7), 7 * 60),
        (3, {"maximum_attempts": 3}, None, None),
        (3, {}, timedelta(days=3), None),
    ],
)
async def test_the_next_attempt_is_foretold(
    stage: Stage, attempt: int, policy: dict[str, Any], delay: timedelta | None, seconds: int | None
):
    known = present(stage.info.retry_policy)
    stage.change(attempt=attempt, retry_policy=replace(known, **policy))
    _, _, row = await stage.run(HOLD, failing(FailureKind.RETRY) if delay is None else putting_off(delay))
    due = None if seconds is None else NOON + timedelta(seconds=seconds, milliseconds=row.milliseconds)
    assert row.next_try_at == due


@pytest.mark.parametrize(
    ("away", "turned", "said", "seconds"),
    [
        (0, False, "It did not work (attempt 3, next try ", 45),
        (1, False, "It did not work (attempt 2, next try ", 15),  # as by the policy
        (0, True, "It did not work: it is tried again (after attempt 2, next try ", 420),
        (2, True, "It did not work: it is tried again (not attempted yet, next try ", 420),
    ],
)
async def test_a_failure_tells_an_operator_which_attempt_it_was_and_when_the_next_one_is(
    stage: Stage, away: int, turned: bool, said: str, seconds: int
):
    stage.schedule(heartbeat_details=["settled", away, 2] if away else [])

    def block(attempt: OpenAttempt) -> None:
        if turned:
            attempt.obey(Backoff(timedelta(minutes=7), "It did not work", "it is tried again", "busy"))
        raise attempt.failed(Judgement(Verdict(Outcome.RETRY, ""), "It did not work"))

    before = datetime.now(UTC)
    failure, error, _ = await stage.refused(HOLD, block)
    after = datetime.now(UTC)
    assert error.message.startswith(said)
    assert error.message.endswith(" UTC)")
    due = datetime.fromisoformat(error.message.removeprefix(said).removesuffix(" UTC)") + "+00:00")
    assert before - timedelta(seconds=1) <= due - timedelta(seconds=seconds) <= after  # whole seconds are said
    assert datetime.fromisoformat(failure.next_try_at) == due


@pytest.mark.parametrize(
    ("attempt", "away", "allowed", "temporal", "on_unknown", "unknown", "kind", "ending"),
    [
        (2, 0, 3, 0, "hold", False, FailureKind.RETRY, ""),
        (3, 0, 3, 0, "hold", False, FailureKind.PERMANENT, ", after 3 attempts"),
        (3, 2, 3, 0, "hold", False, FailureKind.RETRY, ""),  # two of them were turned away
        (3, 2, 1, 0, "hold", False, FailureKind.PERMANENT, ", after 1 attempt"),
        (3, 0, 1, 3, "hold", False, FailureKind.RETRY, ""),  # Temporal counts, for an operator or an older worker
        (3, 0, 0, 0, "hold", False, FailureKind.RETRY, ""),
        (3, 0, 3, 0, "retry", True, FailureKind.PERMANENT, ", after 3 attempts"),
        (3, 0, 3, 0, "hold", True, FailureKind.UNKNOWN, ""),  # that is for `on_unknown` to decide
    ],
)  # fmt: skip
async def test_attempts_are_as_many_as_the_step_allows(
    stage: Stage, attempt: int, away: int, allowed: int, temporal: int, on_unknown: Any,
    unknown: bool, kind: FailureKind, ending: str,
) -> None:  # fmt: skip
    stage.schedule(
        attempt=attempt,
        heartbeat_details=["settled", away, attempt - 1] if away else [],
        retry_policy=RetryPolicy(initial_interval=timedelta(seconds=5), maximum_attempts=temporal),
    )
    delivery = replace(HOLD, attempts=allowed, on_unknown=on_unknown)
    failure, _, _ = await stage.refused(delivery, failing(FailureKind.RETRY, unknown=unknown))
    assert (failure.kind, failure.exhausted) == (kind, kind is FailureKind.PERMANENT)
    assert failure.reason == f"It did not work{ending}"


GONE_WRONG = TemporalFailure(application_failure_info=ApplicationFailureInfo())
TIMED_OUT = TemporalFailure(timeout_failure_info=TimeoutFailureInfo())


@pytest.mark.parametrize(
    ("before", "sent"),
    [
        (GONE_WRONG, True),  # the store was away, and with it the keys by which its argument is read
        (TIMED_OUT, False),
        (RPCError("away", RPCStatusCode.UNAVAILABLE, b""), False),
    ],
)
async def test_attempts_that_could_not_even_begin_leave_one_to_be_made(
    stage: Stage, before: TemporalFailure | RPCError, sent: bool
) -> None:
    stage.marks.before = before
    stage.schedule(attempt=7)
    delivery = replace(RETRY, attempts=3)
    if sent:
        done, error, row = await stage.run(delivery, lambda attempt: attempt.delivered())
        assert (done, error, row.attempt) == (Sent(attempt=3), None, 3)
        return
    failure, _, _ = await stage.refused(delivery, lambda attempt: attempt.delivered())
    assert (failure.error, failure.exhausted, failure.unknown) == ("worker_lost", True, True)
    log = Rows()
    stage.schedule(attempt=1)
    await stage.run(delivery, delivered, log=log)
    stage.schedule(attempt=7)
    _, error, _ = await stage.run(delivery, delivered, log=log)
    assert (isinstance(error, AlreadyDelivered), len(log)) == (True, 1), "the log decides"


@pytest.mark.parametrize("before", [0, 2])
async def test_a_stop_before_anything_was_sent_is_no_attempt_however_often(stage: Stage, before: int) -> None:
    stage.schedule(attempt=before + 1, heartbeat_details=["settled", before, before] if before else [])

    async def stopped(_: OpenAttempt) -> None:
        stage.environment.cancel(ActivityCancellationDetails(worker_shutdown=True))
        await asyncio.sleep(60)

    _, error, row = await stage.refused(replace(HOLD, attempts=1), stopped)
    assert (error.non_retryable, row.attempt, row.outcome) == (False, 1, "retry")
    assert stage.marks[-1] == ("settled", before + 1, before + 1, 1)


@pytest.mark.parametrize("kind", [FailureKind.RETRY, FailureKind.PERMANENT])
async def test_a_failure_tells_of_no_next_attempt_where_there_is_none(stage: Stage, kind: FailureKind):
    # The next attempt would be after the deadline; and what is permanent is tried no more.
    stage.change(schedule_to_close_timeout=timedelta(minutes=1, seconds=30))
    _, error, _ = await stage.refused(HOLD, failing(kind))
    assert error.message == "It did not work (attempt 3)"


async def test_a_broken_log_costs_a_delivery_nothing(stage: Stage):
    sent, error, _ = await stage.run(HOLD, delivered, Broken())
    assert (sent, error) == (Sent(status=201, attempt=3), None)


class TestAnAttemptThatSendsNothing:
    @pytest.fixture
    def recent(self, stage: Stage) -> Stage:
        stage.schedule()
        return stage

    @pytest.mark.parametrize("attempt", [1, 400])
    @pytest.mark.parametrize(
        ("block", "slow", "word", "most"),
        [
            (sending, 60, "not_noted", 7.5),
            (asking, 60, "not_told", 7.5),
            (raising(StoreUnavailable("the store is away")), 0, "store", 7.5),
            (raising(SettingsError("the file cannot be read")), 0, "secrets_unreadable", 7.5),
            (raising(RPCError("away", RPCStatusCode.UNAVAILABLE, b"")), 0, "RPCError", 7.5),
            (raising(TimeoutError()), 0, "TimeoutError", 7.5),
            (raising(ZeroDivisionError()), 0, "ZeroDivisionError", 90),  # which needs another release
        ],
    )
    async def test_pauses_for_some_seconds_however_often_it_was_tried(
        self, recent: Stage, attempt: int, block: Any, slow: int, word: str, most: float
    ):
        recent.schedule(timedelta(hours=1), attempt=attempt)
        recent.marks.slow = timedelta(seconds=slow)
        failure, error, row = await recent.refused(replace(HOLD, attempts=1), block)
        assert (failure.kind, failure.error, failure.unsent) == (FailureKind.RETRY, word, True)
        assert error.next_retry_delay is not None
        assert most / 3 <= error.next_retry_delay.total_seconds() <= most
        assert (row.outcome, row.error, recent.marks[-1]) == ("retry", word, ("settled", 1, attempt, 1))

    async def test_spreads_its_pauses_by_delivery_and_attempt(self, recent: Stage):
        pauses = set[timedelta | None]()
        for name, attempt in (("msg_1", 1), ("msg_2", 1), ("msg_1", 2), ("msg_1", 1)):
            recent.change(attempt=attempt)
            _, error, _ = await recent.refused(replace(HOLD, id=name), raising(StoreUnavailable("the store is away")))
            pauses.add(error.next_retry_delay)
        assert len(pauses) == 3

    @pytest.mark.parametrize(
        ("block", "left", "delay"),
        [
            (raising(StoreUnavailable("the store is away")), 8.0, 3),
            (raising(StoreUnavailable("the store is away")), 3.0, None),
            (put_off(3600), 600.0, 595),
        ],
    )
    async def test_has_a_last_chance_before_the_deadline(
        self, recent: Stage, block: Block, left: float, delay: float | None
    ):
        deadline = timedelta(days=3)
        recent.schedule(deadline - timedelta(seconds=left), schedule_to_close_timeout=deadline + timedelta(seconds=18))
        failure, error, _ = await recent.refused(replace(HOLD, room=18), block)
        assert failure.exhausted == (delay is None)
        if delay is not None:
            assert error.next_retry_delay is not None
            assert error.next_retry_delay <= timedelta(seconds=delay)

    async def test_is_on_record_once_however_often_it_is_repeated(
        self, recent: Stage, caplog: pytest.LogCaptureFixture
    ):
        rows = Rows()
        for attempt in (1, 2, 3, 4):
            details = list(recent.marks[-1]) if recent.marks else []
            recent.change(attempt=attempt, heartbeat_details=details)
            raised = RuntimeError() if attempt < 4 else TemplateError("odd")
            await recent.run(RETRY, raising(raised), rows)
        assert [(row.attempt, row.outcome, row.error) for row in rows] == [
            (1, "retry", "RuntimeError"),
            (1, "failed", "template_failed"),
        ]
        assert [entry.exc_info is not None for entry in caplog.records if entry.levelname == "ERROR"] == [True]

    async def test_waits_longer_for_a_slow_server_each_time(self, recent: Stage):
        recent.marks.slow = timedelta(seconds=5)
        words = list[str | None]()
        recent.change(start_to_close_timeout=timedelta(seconds=30))
        for attempt in (1, 2, 3):
            details = list(recent.marks[-1]) if recent.marks else []
            recent.change(attempt=attempt, heartbeat_details=details)

            async def block(attempt: OpenAttempt) -> None:
                await attempt.may_leave()
                await attempt.sending()
                assert attempt.within == attempt.delivery.timeout == 15.0
                attempt.delivered(201)

            sent, error, _ = await recent.run(replace(HOLD, attempts=1), block)
            told = failure_of(error) if isinstance(error, ApplicationError) else None
            words.append(told.error if told else sent and sent.outcome)
        assert words == ["not_noted", "not_told", "delivered"]

    async def test_waits_no_longer_than_it_has_time_beside_the_sending(self, recent: Stage):
        given = list[float]()

        def block(attempt: OpenAttempt) -> None:
            given.append(attempt.patience.total_seconds())
            attempt.delivered(201)

        for seconds in (30, 18):
            recent.change(start_to_close_timeout=timedelta(seconds=seconds), heartbeat_details=["settled", 9, 2, 9])
            await recent.run(HOLD, block)
        assert given == [pytest.approx(14, abs=0.5), 2]


def event(kind: EventType.ValueType, second: int = 0, **attributes: Any) -> HistoryEvent:
    made = HistoryEvent(event_type=kind, **attributes)
    made.event_time.FromDatetime(NOON + timedelta(seconds=second))
    return made


def signal(name: str, second: int) -> HistoryEvent:
    signalled = WorkflowExecutionSignaledEventAttributes(signal_name=name)
    kind = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
    return event(kind, second, workflow_execution_signaled_event_attributes=signalled)


def pending(second: int, state: str = "SCHEDULED") -> PendingWorkflowTaskInfo:
    made = PendingWorkflowTaskInfo(state=PendingWorkflowTaskState.Value(f"PENDING_WORKFLOW_TASK_STATE_{state}"))
    made.original_scheduled_time.FromDatetime(NOON + timedelta(seconds=second))
    return made


TASK_FAILED = event(EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED)
EXIT, REPORT = signal("event", 1), signal(DELIVERY_DELAYED, 2)
SCHEDULED = event(
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
    activity_task_scheduled_event_attributes=ActivityTaskScheduledEventAttributes(),
)
TIMER = event(EventType.EVENT_TYPE_TIMER_FIRED, timer_fired_event_attributes=TimerFiredEventAttributes())


class TestAJourneyThatIsBehind:
    @pytest.mark.parametrize(
        ("attempt", "waited", "server", "ending"),
        [
            (1, 0.1, {"behind": True}, "delivered"),  # it has just decided
            (1, 0.5, {"behind": True}, "journey"),  # its workflow task took long, or it waited for a worker
            (2, 0.0, {"behind": True}, "journey"),
            (2, 0.0, {}, "delivered"),
            # The report of the failed attempt must not stall the next one while no worker can run the journey.
            (2, 0.0, {"behind": True, "task": pending(2), "events": [EXIT, SCHEDULED, REPORT]}, "delivered"),
            (2, 0.0, {"behind": True, "task": pending(9), "events": [SCHEDULED, REPORT, TASK_FAILED]}, "delivered"),
            (2, 0.0, {"behind": True, "task": pending(2), "events": [SCHEDULED, EXIT, REPORT]}, "journey"),
            (2, 0.0, {"behind": True, "task": pending(2), "events": [SCHEDULED, TIMER, REPORT]}, "journey"),
            # An update without an event scheduled the task before the report; or came later, after a failed task.
            (2, 0.0, {"behind": True, "task": pending(1), "events": [SCHEDULED, REPORT]}, "journey"),
            (2, 0.0, {"behind": True, "task": pending(2), "events": [SCHEDULED, TASK_FAILED]}, "journey"),
            (2, 0.0, {"behind": True, "task": pending(2, "STARTED"), "events": [SCHEDULED, REPORT]}, "journey"),
            (2, 0.0, {"over": True}, "called_off"),
            (2, 0.0, {"over": True, "behind": True}, "called_off"),
            (2, 0.0, {"state": PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED}, "called_off"),
            (2, 0.0, {"state": PendingActivityState.PENDING_ACTIVITY_STATE_PAUSE_REQUESTED}, "called_off"),
            (2, 0.0, {"before": RPCError("gone", RPCStatusCode.NOT_FOUND, b"")}, "called_off"),
            (2, 0.0, {"before": RPCError("away", RPCStatusCode.UNAVAILABLE, b"")}, "not_told"),
        ],
    )
    async def test_is_waited_for(self, stage: Stage, attempt: int, waited: float, server: dict[str, Any], ending: str):
        for name, value in server.items():
            setattr(stage.marks, name, value)
        stage.schedule(attempt=attempt)
        decided = datetime.now(UTC) - timedelta(seconds=waited)
        delivery = replace(HOLD, decided=decided.timestamp())
        if ending == "delivered":
            sent, _, row = await stage.run(delivery, asking)
            assert row.recipient == "hash of +33612345678"
            assert sent == Sent(attempt=attempt, status=201)
            return
        failure, error, row = await stage.refused(delivery, asking)
        assert (failure.error, failure.turned_away, row is None) == (ending, ending == "journey", ending == "journey")
        assert error.next_retry_delay is not None
        most = timedelta(seconds=2 if ending == "journey" else 8)
        assert most / 4 <= error.next_retry_delay < most
        if ending == "journey":
            assert error.message.startswith(
                "the journey has not yet processed a signal or an update: this delivery waits until it has ("
            )

    @pytest.mark.parametrize(
        ("task", "events", "ending"),
        [
            (pending(1), [SCHEDULED, EXIT], "journey"),
            (pending(1, "STARTED"), [SCHEDULED, EXIT], "journey"),
            (pending(4), [SCHEDULED, signal("event", 4)], "delivered"),
            (pending(4, "STARTED"), [SCHEDULED, signal("event", 4)], "delivered"),
            (pending(4), [SCHEDULED, signal("event", 4), REPORT], "delivered"),
            (pending(4), [SCHEDULED, EXIT, signal("event", 4)], "journey"),  # it waited behind an earlier task
            (pending(1), [SCHEDULED, signal("event", 4)], "journey"),  # an update, which has no event yet
            (pending(4), [SCHEDULED], "delivered"),  # a later update
        ],
    )
    async def test_is_waited_for_once(
        self, stage: Stage, task: PendingWorkflowTaskInfo, events: list[HistoryEvent], ending: str
    ):
        """Signals that arrive while an attempt waits for an earlier one do not delay it further."""
        stage.marks.behind, stage.marks.task, stage.marks.events = True, pending(1), [SCHEDULED, EXIT]
        stage.change(attempt=2, started_time=NOON + timedelta(seconds=3))
        failure, error, _ = await stage.refused(HOLD, asking)
        assert (failure.error, error.next_retry_delay and error.next_retry_delay < timedelta(seconds=2)) == (
            "journey",
            True,
        )
        stage.marks.task, stage.marks.events = task, events
        stage.change(attempt=3, started_time=NOON + timedelta(seconds=5), heartbeat_details=list(stage.marks[-1]))
        sent, error, _ = await stage.run(HOLD, asking)
        if ending == "delivered":
            assert sent == Sent(attempt=2, status=201)
            return
        again = failure_of(error)
        assert again is not None
        assert again.error == "journey"
        assert stage.marks[-1][-1] == stage.marks[-2][-1], "it still waits for what had arrived by then"

    @pytest.mark.parametrize(("attempts", "ending"), [(1, "journey"), (2, "delivered")])
    async def test_is_waited_for_if_the_contact_has_changed_before_the_first_try(
        self, stage: Stage, attempts: int, ending: str
    ):
        stage.marks.behind, stage.marks.task = True, pending(1)
        stage.marks.events = [SCHEDULED, signal(CONTACT_CHANGED, 1)]
        stage.change(attempt=2, heartbeat_details=["settled", 2 - attempts, 1])
        sent, error, _ = await stage.run(HOLD, asking)
        told = failure_of(error)
        assert (told.error if told else sent and sent.outcome) == ending

    async def test_is_asked_before_a_place_under_a_cap_is_taken(self, stage: Stage):
        stage.marks.behind, gate = True, Gate()
        _, error, _ = await stage.refused(RETRY, asking, gate=gate)
        assert "has not yet processed" in error.message
        assert gate.messages == []


OWN = event(
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
    activity_task_scheduled_event_attributes=ActivityTaskScheduledEventAttributes(activity_id="test"),
)
CHANGE = signal(CONTACT_CHANGED, 1)


class TestAFirstMessage:
    @pytest.mark.parametrize(
        ("events", "attempt", "changes", "ending"),
        [
            ([OWN, CHANGE], 1, {}, CONTACT_CHANGED),
            ([OWN, CHANGE, TIMER], 2, {"away": 1}, CONTACT_CHANGED),  # it was turned away before
            ([OWN, CHANGE], 2, {}, "delivered"),  # it was tried before
            ([CHANGE, OWN], 1, {}, "delivered"),  # its data have the change
            ([OWN], 1, {}, "delivered"),
            ([OWN, CHANGE], 1, {"entered": 0.0}, "delivered"),  # a later message, or one that was deferred before
            ([OWN, EXIT], 1, {"behind": True, "task": pending(1)}, "journey"),
            ([OWN, EXIT], 1, {}, "delivered"),  # it was no exit
        ],
    )
    async def test_takes_in_what_changed_since_it_was_scheduled(
        self, stage: Stage, events: list[HistoryEvent], attempt: int, changes: dict[str, Any], ending: str
    ):
        stage.marks.events = events
        stage.marks.behind, stage.marks.task = "behind" in changes, changes.get("task", stage.marks.task)
        stage.schedule(attempt=attempt, heartbeat_details=["settled", changes.get("away", 0), attempt - 1])
        message = replace(HOLD, decided=datetime.now(UTC).timestamp(), entered=changes.get("entered", 1.0))
        sent, error, row = await stage.run(message, asking)
        told = failure_of(error)
        assert (told.error if told else sent and sent.outcome) == ending
        if told is not None and ending == CONTACT_CHANGED:
            assert (told.kind, told.attempt, row) == (FailureKind.NOT_BEFORE, 0, None)


class TestAWorkerThatIsLostWhileSending:
    @pytest.mark.parametrize(
        ("before", "delivery", "block", "left"),
        [
            ([], HOLD, failing(FailureKind.RETRY, status=429), [("sending",), ("settled",)]),
            ([], HOLD, failing(FailureKind.RETRY, unknown=True), [("sending",)]),
            ([], RETRY, failing(FailureKind.RETRY), []),  # sending again is right
            # What does not count is in the mark.
            (["settled", 2, 2], HOLD, failing(FailureKind.RETRY, unknown=True), [("sending", 2, 3)]),
            # No old mark is left once an operator makes Temporal count anew.
            (["settled", 4, 7], HOLD, failing(FailureKind.RETRY, sending=False), [("settled",)]),
            (["settled", 4, 7], HOLD, failing(FailureKind.RETRY, status=429), [("sending",), ("settled",)]),
            (["settled", 4, 7], HOLD, failing(FailureKind.RETRY, unknown=True), [("sending",)]),
            (["settled", 4, 7], RETRY, failing(FailureKind.RETRY, unknown=True), [("settled",)]),
        ],
    )
    async def test_keeps_a_mark_while_something_is_uncertain(
        self, stage: Stage, before: list[Any], delivery: Delivery, block: Block, left: list[Any]
    ):
        # Nothing may be on its way to the server while the mark is: which of them came last would be chance.
        stage.change(heartbeat_details=before)
        await stage.run(delivery, block)
        assert stage.marks == left

    @pytest.mark.parametrize(
        ("refusal", "word"),
        [
            (RPCError("deadline", RPCStatusCode.DEADLINE_EXCEEDED, b""), "not_noted"),
            (RPCError("gone", RPCStatusCode.NOT_FOUND, b""), "called_off"),
            (AsyncActivityCancelledError(), "called_off"),
        ],
    )
    async def test_sends_nothing_where_the_server_keeps_no_mark(self, stage: Stage, refusal: Exception, word: str):
        stage.marks.refusal = refusal
        sent: list[OpenAttempt] = []

        async def block(attempt: OpenAttempt) -> None:
            await attempt.sending()
            sent.append(attempt)

        failure, _, row = await stage.refused(HOLD, block)
        assert (failure.kind, sent) == (FailureKind.RETRY, [])
        assert (row.outcome, row.error) == ("retry", word)
        # It may have kept one all the same: what goes out with the failure takes it back, and does not count.
        assert stage.marks[-1] == ("settled", 1, 3, 1)

    async def test_makes_the_next_attempt_stop_before_it_sends(self, stage: Stage):
        stage.change(heartbeat_details=["sending"])
        began: list[OpenAttempt] = []
        failure, _, row = await stage.refused(HOLD, began.append)
        assert (failure.kind, began, row.outcome, row.error) == (FailureKind.UNKNOWN, [], "unknown", "worker_lost")

    async def test_ends_as_delivered_if_the_log_says_so(self, stage: Stage):
        log, sent = Rows(), list[OpenAttempt]()
        await stage.run(HOLD, delivered, log=log)
        stage.change(heartbeat_details=["sending", 0, 3], attempt=4)
        _, error, _ = await stage.run(HOLD, sent.append, log=log)
        assert isinstance(error, AlreadyDelivered)
        assert (error.sent.outcome, error.sent.status, error.sent.attempt) == ("delivered", 201, 3)
        assert (sent, len(log)) == ([], 1), "it is neither sent nor logged again"

    async def test_waits_for_a_log_that_cannot_be_read_and_keeps_the_mark(self, stage: Stage):
        stage.schedule(heartbeat_details=["sending", 0, 1], attempt=2)
        began: list[OpenAttempt] = []
        failure, _, row = await stage.refused(replace(HOLD, attempts=5), began.append, log=Unreadable())
        assert (failure.kind, failure.unknown, failure.unsent, began) == (FailureKind.RETRY, True, True, [])
        assert (row.outcome, row.error, stage.marks[-1][0]) == ("unknown", "store", "sending")

    async def test_is_unknown_if_the_log_cannot_be_read_before_the_deadline(self, stage: Stage):
        late = timedelta(seconds=5)
        stage.schedule(HOUR + late, schedule_to_close_timeout=HOUR + 3 * late)
        stage.change(heartbeat_details=["sending", 0, 1], attempt=2)
        failure, _, _ = await stage.refused(replace(HOLD, room=15.0), delivered, log=Unreadable())
        assert (failure.kind, failure.unknown, failure.exhausted) == (FailureKind.UNKNOWN, True, True)

    @pytest.mark.parametrize("delivery", [HOLD, RETRY])
    async def test_an_operators_retry_ends_as_delivered_if_the_log_says_so(self, stage: Stage, delivery: Delivery):
        log, sent = Rows(), list[OpenAttempt]()
        await stage.run(delivery, delivered, log=log)
        stage.change(attempt=1)
        _, error, _ = await stage.run(replace(delivery, retried=True), sent.append, log=log)
        assert (isinstance(error, AlreadyDelivered), sent, len(log)) == (True, [], 1)
        await stage.run(replace(delivery, retried=True, id="msg_other"), delivered, log=log)
        assert len(log) == 2, "another delivery is sent"

    async def test_an_operators_retry_sends_nothing_while_the_log_cannot_be_read(self, stage: Stage):
        failure, _, row = await stage.refused(replace(HOLD, retried=True), delivered, log=Unreadable())
        assert (failure.kind, failure.unknown, row.outcome, row.error) == (FailureKind.RETRY, False, "retry", "store")

    @pytest.mark.parametrize(("delivery", "mark"), [(HOLD, "settled"), (RETRY, "sending")])
    async def test_does_not_stop_others(self, stage: Stage, delivery: Delivery, mark: str):
        stage.change(heartbeat_details=[mark])
        _, error, row = await stage.run(delivery, lambda attempt: attempt.delivered())
        assert (error, row.outcome) == (None, "delivered")


class TestTheDeadline:
    """Of attempts that begin; Temporal's own end of them all is later by the delivery's `room`."""

    LATE = replace(RETRY, timeout=15.0, room=18.0)

    @pytest.fixture
    def hour(self, stage: Stage) -> Stage:
        stage.schedule(
            start_to_close_timeout=timedelta(seconds=18), schedule_to_close_timeout=timedelta(hours=1, seconds=18)
        )
        return stage

    @pytest.mark.parametrize(("seconds", "made"), [(3599.0, True), (3600.0, False), (3617.0, False)])
    async def test_is_the_last_moment_at_which_an_attempt_begins(self, hour: Stage, seconds: float, made: bool):
        hour.change(started_time=hour.info.scheduled_time + timedelta(seconds=seconds))
        given: list[float] = []

        def block(attempt: OpenAttempt) -> Sent:
            given.append(attempt.within)
            return attempt.delivered()

        if made:
            await hour.run(self.LATE, block)
            assert given == [15.0]
            return
        failure, _, row = await hour.refused(self.LATE, block)
        assert (row, given) == (None, [])
        assert (failure.kind, failure.error, failure.exhausted, failure.turned_away, failure.attempt) == (
            *(FailureKind.PERMANENT, "deadline", True, True, 2),
        )

    @pytest.mark.parametrize(
        ("seconds", "kind"),
        [(3590, FailureKind.RETRY), (3605, FailureKind.PERMANENT), (3700, FailureKind.RETRY)],
        ids=str,
    )
    async def test_ends_a_delivery_that_temporal_would_try_again_after_it(
        self, hour: Stage, seconds: int, kind: FailureKind
    ):
        # What is due after Temporal's own end is Temporal's: an operator may have changed the policy meanwhile.
        failure, _, row = await hour.refused(self.LATE, putting_off(timedelta(seconds=seconds)))
        assert (failure.kind, failure.exhausted) == (kind, kind is FailureKind.PERMANENT)
        assert (failure.next_try_at != "") == (row.next_try_at is not None) == (seconds == 3590)

    async def test_cuts_an_attempt_short_that_temporal_would_not_wait_for(self, hour: Stage):
        # As of a delivery that was scheduled without room, or whose deadline an operator has changed.
        hour.change(started_time=hour.info.scheduled_time + timedelta(hours=1, seconds=13))
        given: list[float] = []
        await hour.run(RETRY, lambda attempt: (given.append(attempt.within), attempt.delivered())[1])
        assert 3.5 < given[0] <= 4

    async def test_lets_nothing_leave_that_temporal_would_not_wait_for(self, hour: Stage):
        hour.change(started_time=hour.info.scheduled_time + timedelta(hours=1, seconds=17.5))
        _, _, row = await hour.refused(HOLD, failing(FailureKind.RETRY))
        assert (row.error, hour.marks.noted) == ("no_time", [])


class TestCancellation:
    @pytest.mark.parametrize(
        ("delivery", "sending", "kind", "word"),
        [
            (HOLD, True, FailureKind.UNKNOWN, "unknown"),
            (RETRY, True, FailureKind.RETRY, "unknown"),
            (HOLD, False, FailureKind.RETRY, "retry"),
            (HOLD, True, None, "unknown"),
            (HOLD, False, None, "cancelled"),
        ],
    )
    async def test_by_a_stopping_worker_becomes_a_failure_and_another_passes_through(
        self, stage: Stage, delivery: Delivery, sending: bool, kind: FailureKind | None, word: str
    ):
        async def block(attempt: OpenAttempt) -> None:
            if sending:
                await attempt.sending()
            stage.environment.cancel(ActivityCancellationDetails(worker_shutdown=kind is not None))
            await asyncio.Event().wait()

        if kind is None:
            _, error, row = await stage.run(delivery, block)
            assert isinstance(error, asyncio.CancelledError)
            assert (row.outcome, row.next_try_at) == (word, None)
        else:
            failure, _, row = await stage.refused(delivery, block)
            assert (failure.kind, row.outcome, row.error) == (kind, word, "worker_stopped")


class TestWhetherItMayLeave:
    @pytest.fixture(autouse=True)
    def first(self, stage: Stage) -> None:
        stage.schedule(attempt=1)

    async def test_a_cap_may_hold_it_for_a_person(self, stage: Stage) -> None:
        gate = Gate(Hold("capped by week: 4 in 7d, next Thu 10:02"))
        _, error, _ = await stage.refused(RETRY, asking, gate=gate)
        assert (error.type, error.non_retryable) == ("DeliveryCapped", True)
        assert error.message == "capped by week: 4 in 7d, next Thu 10:02 (not attempted yet)"

    @pytest.mark.parametrize(
        ("attempt", "away"),
        [
            (1, 0),  # the journey waits, by a timer
            (2, 0),  # likewise, and the deadline of what has begun runs on
            (2, 1),  # it was turned away, which is no attempt
        ],
    )
    async def test_a_deferred_message_says_when_and_why(self, stage: Stage, attempt: int, away: int) -> None:
        stage.schedule(attempt=attempt, heartbeat_details=["settled", away, attempt - 1] if away else [])
        until = datetime.now(UTC) + timedelta(minutes=20)
        failure, error, _ = await stage.refused(RETRY, asking, gate=Gate(Defer(until, "quiet hours", "quiet")))
        assert (failure.kind, failure.error, failure.turned_away) == (FailureKind.NOT_BEFORE, "quiet", True)
        assert (failure.reason, error.next_retry_delay) == ("quiet hours", None)
        assert abs(datetime.fromisoformat(failure.next_try_at) - until) <= timedelta(seconds=1)


class TestWhatTheGateIsToldAtTheEnd:
    @pytest.mark.parametrize(
        ("ends", "sending", "told"),
        [
            (None, True, []),
            (failing(FailureKind.RETRY), True, []),
            (failing(FailureKind.RETRY, unknown=True), True, [True]),
            (failing(FailureKind.PERMANENT), True, [False]),
            (failing(FailureKind.PERMANENT, unknown=True), True, [True]),
            (raising(Aborted("nobody is there")), False, [False]),
            (raising(asyncio.CancelledError()), True, [True]),
            (raising(asyncio.CancelledError()), False, []),
        ],
    )
    async def test_only_what_makes_a_difference(
        self, stage: Stage, ends: Block | None, sending: bool, told: list[bool]
    ) -> None:
        async def block(attempt: OpenAttempt) -> None:
            await attempt.may_leave()
            if sending:
                await attempt.sending()
            if ends is None:
                attempt.delivered(201)
            elif (going := ends(attempt)) is not None:
                await going

        gate = Gate()
        await stage.run(RETRY, block, gate=gate)
        assert gate.reports == told

    @pytest.mark.parametrize(
        ("answer", "attempt", "left", "told"),
        [
            (Skip("expired", "expired"), 1, [], [False]),  # it may have been scheduled before
            (Hold("capped by week"), 2, [], [False]),
            (Defer(datetime.now(UTC) + timedelta(hours=8), "quiet hours", "quiet"), 2, [], []),
            (Defer(datetime.now(UTC) + timedelta(hours=8), "quiet hours", "quiet"), 2, ["settled", 1, 1], []),
            (None, 2, ["sending"], [True]),  # the worker was lost while it was sending
        ],
    )
    async def test_what_an_earlier_attempt_was_let_go_for(
        self, stage: Stage, answer: Ruling, attempt: int, left: list[Any], told: list[bool]
    ) -> None:
        stage.schedule(attempt=attempt, heartbeat_details=left)
        gate = Gate(answer)
        await stage.run(HOLD, asking, gate=gate)
        assert gate.reports == told


class TestWhatTheReceiverSaysAgainstTheAddress:
    BOUNCE, NEVER = AddressVerdict("bounce", "550 5.1.1"), Skip("the address has bounced", "suppressed")

    @staticmethod
    def answered(outcome: Outcome, against: AddressVerdict | None) -> Block:
        async def block(attempt: OpenAttempt) -> None:
            await attempt.may_leave("zoe@example.com")
            judgement = Judgement(Verdict(outcome, "", against=against), "mail.example answered 550")
            raise attempt.failed(judgement, status=550, excerpt="5.1.1 ***")

        return block

    async def test_a_suppressed_address_skips_the_step(self, stage: Stage) -> None:
        stage.schedule()
        gate = Gate(rejected=self.NEVER)
        sent, _, row = await stage.run(HOLD, self.answered(Outcome.PERMANENT, self.BOUNCE), gate=gate)
        assert sent == Sent(outcome="skipped", reason="the address has bounced", status=550, attempt=3)
        assert (gate.verdicts, gate.reports) == ([self.BOUNCE], [False]), "and its place under caps is free again"
        assert (row.outcome, row.status, row.error, row.response) == ("skipped", 550, "suppressed", "5.1.1 ***")

    @pytest.mark.parametrize(
        ("outcome", "against", "answer", "kind", "told"),
        [
            (Outcome.PERMANENT, None, NEVER, FailureKind.PERMANENT, 0),
            (Outcome.PERMANENT, BOUNCE, None, FailureKind.PERMANENT, 1),  # no key is set, or one of few soft bounces
            (Outcome.PERMANENT, BOUNCE, RuntimeError("the store is away"), FailureKind.PERMANENT, 1),
            (Outcome.RETRY, AddressVerdict("soft", "452 4.2.2"), NEVER, FailureKind.RETRY, 0),  # it may yet pass
        ],
    )
    async def test_otherwise_it_fails_as_ever(
        self,
        stage: Stage,
        outcome: Outcome,
        against: AddressVerdict | None,
        answer: Skip | Exception | None,
        kind: FailureKind,
        told: int,
    ) -> None:
        stage.schedule()
        gate = Gate(rejected=answer)
        failure, _, _ = await stage.refused(HOLD, self.answered(outcome, against), gate=gate)
        assert (failure.kind, len(gate.verdicts)) == (kind, told)


DELAYS: list[tuple[int, Block, bool | None]] = [
    (1, failing(FailureKind.RETRY), True),
    (2, failing(FailureKind.RETRY), True),
    (2, put_off(1), True),
    (1, put_off(30), False),
    (1, put_off(2), None),
    (1, unsent("store"), None),
    (1, unsent("called_off"), None),
    (1, put_off(30, "journey"), None),
    (1, failing(FailureKind.PERMANENT), None),
    (1, delivered, None),
]


@pytest.mark.parametrize(("number", "block", "failed"), DELAYS)
async def test_a_journey_learns_that_its_delivery_is_tried_again(
    stage: Stage, number: int, block: Block, failed: bool | None
) -> None:
    stage.schedule(attempt=number, activity_id="thanks")
    await stage.run(replace(RETRY, decided=7.5), block)
    await asyncio.gather(*REPORTS)
    report = {"decided": 7.5, "destination": "twilio", "failed": failed}
    assert stage.marks.delays == ([] if failed is None else [(f"thanks 7.5 {failed}", report)])


async def test_an_attempt_does_not_wait_for_its_report(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage.marks, "signalled", asyncio.Event().wait)
    monkeypatch.setattr(attempt_context, "_REPORTED", 0.001)
    stage.schedule(attempt=1)
    failure, _, _ = await stage.refused(RETRY, failing(FailureKind.RETRY))
    assert (failure.kind, len(REPORTS)) == (FailureKind.RETRY, 1)
    await asyncio.gather(*REPORTS)
    assert stage.marks.delays == []


LATER = datetime(2100, 3, 2, 12, 0, tzinfo=UTC)
"""Later than this machine's clock: the server's decides."""
FIRST = delivery("thanks", now=LATER.isoformat(timespec="seconds"))


async def measure(block: Block, delivery: Delivery = FIRST, **info: Any) -> Measured:
    stage = Stage()
    policy = RetryPolicy(initial_interval=timedelta(seconds=1))
    stage.change(**{"scheduled_time": LATER, "started_time": LATER, "attempt": 1, "retry_policy": policy, **info})
    measured = Measured(ATTEMPTS, DURATION, SKIPPED, START_TO_FIRST_SEND, UNSENT, WAIT)
    await stage.run(delivery, block)
    return measured


@pytest.mark.parametrize(
    ("block", "number", "series"),
    [
        (delivered, 1, ("delivered", "first")),
        (delivered, 3, ("delivered", "retry")),
        (judged(Outcome.RETRY), 1, ("retry", "first")),
        (judged(Outcome.PERMANENT), 2, ("failed", "retry")),
        (answered(Skip("it is over", "capped")), 1, ("skipped", "first")),
        (answered(Defer(LATER + timedelta(hours=1), "quiet hours", "quiet")), 1, None),
        (answered(Backoff(timedelta(hours=1), "busy", "it waits", "busy")), 2, None),
        (answered(Hold("a cap is full")), 1, None),
    ],
)
async def test_attempts_are_counted_by_how_they_ended_and_what_is_turned_away_is_none(
    block: Block, number: int, series: tuple[str, str] | None
):
    measured = await measure(block, attempt=number)
    assert measured.of(ATTEMPTS) == ({("sms", "twilio", *series): (1, 1)} if series else {})


@pytest.mark.parametrize(
    ("raised", "reason"),
    [(StoreUnavailable("the store is away"), "store"), (ZeroDivisionError(), "error"), (TimeoutError(), "error")],
)
async def test_what_ended_before_it_could_send_is_not_the_destination_s_failure(raised: Exception, reason: str):
    measured = await measure(raising(raised))
    assert measured.of(ATTEMPTS) == {}
    assert measured.of(UNSENT) == {("sms", reason): (1, 1)}
    assert (await measure(judged(Outcome.RETRY))).of(UNSENT) == {}


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
    measured = await measure(delivered, scheduled_time=LATER + scheduled, started_time=LATER + ended)
    assert measured.of(DURATION) == {("sms", "twilio", kept_back): (1, pytest.approx(seconds, abs=0.2))}


async def test_what_is_not_delivered_took_no_time():
    for block in (judged(Outcome.RETRY), answered(Skip("it is over", "expired"))):
        assert (await measure(block)).of(DURATION) == {}


@pytest.mark.parametrize(
    ("raised", "reason"),
    [(Skip("it is over", SkipReason.SUPPRESSED), "suppressed"), (Aborted("nobody there"), "template")],
)
async def test_a_message_is_skipped_for_a_reason(raised: Skip | Exception, reason: str):
    block = raising(raised) if isinstance(raised, Exception) else answered(raised)
    assert (await measure(block)).of(SKIPPED) == {("sms", reason): (1, 1)}


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
        Defer(LATER + timedelta(minutes=7), "not yet", word)
        if word in ("quiet", "capped")
        else Backoff(timedelta(minutes=7), "not yet", "it waits", word)
    )
    assert (await measure(answered(answer))).of(WAIT) == {("sms", why): (1, pytest.approx(420, abs=0.5))}


async def test_a_receiver_that_asks_to_be_left_alone_makes_it_wait():
    assert (await measure(judged(Outcome.RETRY, 90))).of(WAIT) == {("sms", "retry_after"): (1, 90)}
    assert (await measure(judged(Outcome.RETRY))).of(WAIT) == {}
    assert (await measure(judged(Outcome.PERMANENT, 90))).of(WAIT) == {}  # nothing waits


@pytest.mark.parametrize(("entered", "attempt", "series"), [(2.5, 1, 1), (2.5, 2, 0), (0, 1, 0)])
async def test_a_journey_s_first_message_is_timed_once(entered: float, attempt: int, series: int):
    began = LATER.timestamp() - entered if entered else 0.0
    measured = await measure(sending, replace(FIRST, entered=began), attempt=attempt)
    assert measured.of(START_TO_FIRST_SEND) == ({("sms",): (1, pytest.approx(2.5, abs=0.5))} if series else {})


@pytest.mark.parametrize("started", [NOON, LATER], ids=["ahead", "behind"])
class TestAWorkerWithAWrongClock:
    """Its clock is months ahead of the server's, or decades behind it."""

    @pytest.fixture
    def wrong(self, stage: Stage, started: datetime) -> Stage:
        stage.change(attempt=2, scheduled_time=started - timedelta(seconds=6), started_time=started)
        return stage

    async def test_asks_the_policies_by_the_time_of_the_server(self, wrong: Stage, started: datetime):
        gate = Gate(Defer(started + timedelta(minutes=30), "quiet hours", "quiet"))
        failure, _, _ = await wrong.refused(RETRY, asking, gate=gate)
        assert timedelta(0) <= gate.messages[0].now - started < timedelta(seconds=1)
        due = datetime.fromisoformat(failure.next_try_at) - started
        assert timedelta(minutes=29, seconds=59) <= due <= timedelta(minutes=30, seconds=1)

    async def test_gives_nothing_up_early(self, wrong: Stage, started: datetime):
        failure, _, row = await wrong.refused(RETRY, judged(Outcome.RETRY_SHORT))
        assert (failure.kind, failure.exhausted) == (FailureKind.RETRY, False)
        assert present(row.next_try_at) - started < timedelta(minutes=1)

    async def test_gives_up_after_the_hour(self, wrong: Stage, started: datetime):
        wrong.change(scheduled_time=started - timedelta(hours=1, seconds=1))
        failure, _, _ = await wrong.refused(RETRY, judged(Outcome.RETRY_SHORT))
        assert (failure.kind, failure.exhausted) == (FailureKind.PERMANENT, True)

    async def test_shortens_a_pause_to_the_deadline_of_the_server(self, wrong: Stage, started: datetime):
        wrong.change(schedule_to_close_timeout=timedelta(hours=1))
        _, error, _ = await wrong.refused(RETRY, answered(Backoff(timedelta(days=1), "busy", "it waits", "busy")))
        assert timedelta(minutes=59) < present(error.next_retry_delay) < timedelta(hours=1)
