"""A line of a campaign in the gear blast: the host of its steps, which sends its message immediately.

What takes longer than a moment continues as a journey at the same step: a retry, quiet hours, a hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final, Unpack

from temporalio import activity
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from typing_extensions import override

from activities.attempt_context import AttemptContext, JourneyStatus
from activities.channel import ChannelActivity
from activities.evaluation import answer
from activities.failures import SENDING, Failure, FailureKind, failed_by, failure_of, without_retry
from activities.interface import DelayReport, Delivery
from activities.server_clock import ServerClock
from runtime.store import Passage
from scenario.plan.compile import pick
from scenario.plan.plan import Plan
from scenario.steps.delivery import Send, delivery_id
from scenario.steps.host import (
    ContinueAsNew,
    Delivered,
    EvaluationRequest,
    EvaluationResult,
    Failed,
    Inputs,
    Leave,
    Memory,
    Next,
    NotBefore,
    Outcome,
    Remarks,
    StepRecord,
)

MOMENT: Final = 3.0
"""Seconds for which a line waits for its turn, before it continues as a journey."""
_TURNS: Final = 3  # maximum number of such waits
_ROOM: Final = timedelta(seconds=15)  # time of an attempt beyond the step's `timeout`
_NEXT_ATTEMPT: Final = "its next attempt"
_INPUTS: Final = Inputs(0, (), 0, False, False)


class LineAttempt(AttemptContext):
    """The connection of a chunk's attempt to Temporal. It has no journey that operators could change."""

    @property
    @override
    def is_stopping(self) -> bool:
        return False  # the chunk completes its attempts

    @override
    def mark(self, *values: str | float) -> None:
        """Forget the values: the next attempt is a journey's."""

    @override
    async def store_mark(self, *values: str | float, patience: timedelta) -> None:
        """Do nothing: the chunk has marked its lines in the store."""

    @override
    async def journey_status(
        self, patience: timedelta, *, asked: datetime | None = None, ignored: Collection[str] = ()
    ) -> JourneyStatus:
        return JourneyStatus.CURRENT

    @override
    async def signals_since_scheduled(self, patience: timedelta) -> set[str]:
        return set()

    @override
    def report_delay(self, report: DelayReport) -> None:
        """Do nothing: there is no journey yet."""

    @override
    async def was_lost(self, patience: timedelta) -> bool:
        return False


@dataclass(frozen=True, kw_only=True)
class Course:
    """What all lines of a chunk share."""

    scenario: str  # name and version
    plan: Plan
    info: activity.Info  # of the chunk's activity
    clock: ServerClock
    sender: ChannelActivity[Any]
    adjust: Callable[[Send], Send]  # returns a step with the settings of its destination
    pause: Callable[[float, str], None]  # reports for how many seconds the receiver takes no messages, and why


class _Continues(Exception):
    """The line continues as a journey."""


@dataclass(kw_only=True, eq=False)
class CampaignLine:
    """An admitted line."""

    course: Course
    workflow_id: str
    root: str  # what its delivery ids are made from
    entered: datetime  # the time of its admission. `now` of its message, so that a repeated attempt has the same bytes.
    values: Mapping[str, Any]  # the entry's data, by root name
    zone: tzinfo
    unknown: bool = False  # true if a killed chunk may have sent a message that must not be sent twice
    step: str = ""
    memory: Memory = field(default_factory=Memory)
    done: list[StepRecord] = field(default_factory=list[StepRecord])
    held: Failed | None = None
    ended: tuple[str, str] | None = None  # the outcome of its journey and the reason; None if a journey continues it
    _now: str = ""  # `now` of its message
    _tried: int = 0
    _scheduled: datetime | None = None
    _delayed_by: str = ""  # the destination whose attempt failed

    must_continue = True
    row_override = None

    def __post_init__(self) -> None:
        self._now = self._local(self.entered)

    async def run(self) -> None:
        """Perform step after step, until the end or until a journey must continue."""
        at: str | None = self.course.plan.start
        while at is not None:
            self.step = at
            self.memory.leave_step()
            try:
                outcome = await self.course.plan.steps[at].perform(self)
            except _Continues:
                return
            match outcome:
                case Next():
                    at = outcome.step
                case Leave():
                    self.ended = "exited", outcome.reason
                    return
                case ContinueAsNew():
                    return
        sent = [one for one in self.done if self.is_sending(one)]
        failed = sum(one.outcome in ("failed", "unknown") for one in sent)
        self.ended = "finished", f"{failed} of {len(sent)} deliveries failed" if failed else ""

    def is_sending(self, done: StepRecord) -> bool:
        return isinstance(self.course.plan.steps[done.id], Send)

    def outcome(self) -> tuple[str, str | None]:
        """Return the outcome of an ended line, one of `scenario.words.LineOutcome`, and the reason."""
        sent = next((one for one in self.done if self.is_sending(one)), None)
        if sent is None:
            return "skipped", "its way has no message"
        match sent.outcome:
            case "delivered":
                return "delivered", None
            case "skipped":
                return "skipped", sent.reason
            case "unknown":
                return "skipped", f"it may have been delivered: {sent.reason}"
            case _:
                return "skipped", f"failed: {sent.reason}"

    def passed(self) -> list[Passage]:
        version = int(self.course.scenario.partition("@")[2])
        return [Passage(version, one.id, one.outcome, datetime.fromisoformat(one.at)) for one in self.done]

    def carried(self) -> dict[str, Any]:
        """Return the state with which a journey continues it: fields of `workflows.state.State`."""
        began, held, memory = self.entered.isoformat(), self.held, asdict(self.memory)
        memory["until"] = self.memory.until.isoformat() if self.memory.until else None
        state: dict[str, Any] = {
            "entered_at": began,
            "at": self.step or self.course.plan.start,
            "since": began,
            "memory": memory,
            "steps": [one.as_dict() for one in self.done],
            "tried": self._tried,
            "scheduled": self._scheduled and self._scheduled.isoformat(),
            "retrying": bool(self._delayed_by),
            "delayed_by": self._delayed_by,
        }
        if self._is_sending:
            state["now"] = self._now
        if held is not None:
            state["held"] = held.held(self.step, self.now())
        return state

    @property
    def _is_sending(self) -> bool:
        return isinstance(self.course.plan.steps.get(self.step), Send)

    # ---- the interface of steps

    @property
    def began(self) -> datetime:
        return self.entered

    @property
    def inputs(self) -> Inputs:
        return _INPUTS

    def now(self) -> datetime:
        return self.course.clock.now()

    def data(self) -> dict[str, Any]:
        return {**self.values, "responses": self.memory.responses}

    async def answer(self, question: EvaluationRequest) -> EvaluationResult:
        return answer(question)

    async def wait(self, until: datetime | None, what: str, wake: Callable[[], bool]) -> bool:
        """Return immediately: `must_continue` ends the step."""
        del until, what, wake
        return True

    def ignore(self, what: str, reason: str) -> None:
        """Forget it: no journey has a list of it."""

    def hold(self, failed: Failed) -> None:
        self.held = failed
        self.memory.stop_waiting()
        self._tried, self._scheduled, self._delayed_by = 0, None, ""

    async def decided(self) -> Outcome | None:
        return None if self.held is None else ContinueAsNew()

    def record(self, outcome: str, reason: str | None = None, **more: Unpack[Remarks]) -> None:
        kind = self.course.plan.steps[self.step].kind
        more["attempts"] = more.get("attempts") or None
        self.done.append(
            StepRecord(id=self.step, kind=kind, outcome=outcome, at=self._seconds(), reason=reason, **more)
        )

    async def deliver(self, row: Send) -> Delivered | Failed | NotBefore:
        step, turns = self.course.adjust(row), 0
        while True:
            started = self.now()
            delivery = self._delivery(step, started)
            try:
                sent = await self.course.sender.send(delivery, self._attempt(step, delivery, started))
            except ApplicationError as error:
                failure = failure_of(error)
                if failure is None:
                    raise
                pause = error.next_retry_delay.total_seconds() if error.next_retry_delay else 0.0
                if failure.kind is FailureKind.RETRY and (failure.turned_away or failure.unsent):
                    turns += 1
                    if pause <= MOMENT and turns <= _TURNS:
                        await asyncio.sleep(pause)
                        continue
                    self.course.pause(pause, failure.why or failure.reason)
                return self._failed(row, failure, started)
            return Delivered(
                outcome=sent.outcome,
                reason=sent.reason,
                status=sent.status,
                attempts=sent.attempt,
                note=sent.note,
                saved=sent.saved,
                excerpt=sent.excerpt,
            )

    # ---- deliveries

    def _delivery(self, step: Send, started: datetime) -> Delivery:
        return Delivery(
            id=delivery_id(self.workflow_id, self.root, self.step, 0),
            scenario=self.course.scenario,
            contact=self.values["contact"]["id"],
            step=self.step,
            now=self._now,
            data=pick(self.data(), step.fields, step.item_fields),
            timeout=step.timeout,
            on_unknown=step.on_unknown,
            attempts=step.retry.maximum_attempts,
            room=step.timeout + _ROOM.total_seconds(),
            zone="" if str(self.zone) == "UTC" else str(self.zone),
            entered=self.entered.timestamp(),
            decided=started.timestamp(),
        )

    def _attempt(self, step: Send, delivery: Delivery, started: datetime) -> LineAttempt:
        policy, room = step.retry.spread(delivery.id), timedelta(seconds=delivery.room)
        return LineAttempt(
            replace(
                self.course.info,
                activity_id=self.step,
                attempt=1,
                workflow_id=self.workflow_id,
                workflow_run_id=self.root,
                scheduled_time=started,
                started_time=started,
                start_to_close_timeout=room,
                schedule_to_close_timeout=timedelta(seconds=step.retry.deadline) + room,
                heartbeat_details=[SENDING] if self.unknown else [],
                retry_policy=RetryPolicy(
                    initial_interval=timedelta(seconds=policy.initial_interval),
                    backoff_coefficient=policy.backoff_coefficient,
                    maximum_interval=timedelta(seconds=policy.maximum_interval),
                ),
            )
        )

    def _failed(self, row: Send, failure: Failure, started: datetime) -> Failed | NotBefore:
        """Return a terminal failure or a deferral. A retry continues as a journey."""
        failure = without_retry(failure, row.on_unknown)
        if failure.kind not in (FailureKind.RETRY, FailureKind.NOT_BEFORE):
            return failed_by(failure, row.to)
        self._tried = failure.attempt - (1 if failure.unsent else 0)
        due = datetime.fromisoformat(failure.next_try_at) if failure.next_try_at else started
        if failure.kind is FailureKind.NOT_BEFORE:
            self._now = ""  # fixed when the message may leave
            return NotBefore(moment=due, since=failure.reason)
        if self._tried:
            self._scheduled, self._delayed_by = started, row.to or failure.destination
        self.memory.defer(NotBefore(moment=due, since=_NEXT_ATTEMPT), self.zone)
        raise _Continues

    def _local(self, moment: datetime) -> str:
        return moment.astimezone(self.zone).isoformat(timespec="seconds")

    def _seconds(self) -> str:
        return self.now().isoformat(timespec="seconds")
