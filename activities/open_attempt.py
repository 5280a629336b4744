"""An attempt in progress: whether its message may leave, and its outcome."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from temporalio.client import AsyncActivityCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.attempt_context import AttemptContext, JourneyStatus
from activities.channel_registry import Channel
from activities.failures import CONTACT_CHANGED, SENDING, SETTLED, Failure, FailureKind, mark, tally
from activities.gate import OutgoingMessage, PolicyGate
from activities.interface import DelayReport, Delivery, Sent
from activities.outcome import Backoff, Judgement, end_after
from activities.retry import SOON, deadline, jittered, next_try, replacement_pause, time_left
from activities.server_clock import ServerClock
from runtime.telemetry.metrics import START_TO_FIRST_SEND, UNSENT, WAIT
from scenario.errors import Aborted
from scenario.policies.order import Defer, Hold, Ruling, Skip
from scenario.policies.suppression import AddressVerdict
from scenario.steps.delivery import SOONEST
from scenario.time import spell, zone_of

BEHIND: Final = "journey"
"""Word of the log if the journey has not yet processed a signal or an update."""
_CALLED_OFF: Final = "called_off"
_UNSENT: Final = {
    _CALLED_OFF: "It was called off",
    "not_told": "Temporal did not say in time whether the journey still wants it",
    "not_noted": "Temporal could not note the sending in time",
    "no_time": "The attempt timed out before sending",
}
_NOT_READY: Final = "the journey has not yet processed a signal or an update"
_ENDS: Final[Mapping[str, FailureKind]] = {
    "permanent": FailureKind.PERMANENT,
    "exhausted": FailureKind.PERMANENT,
    "unknown": FailureKind.UNKNOWN,
}
_REASONS: Final = frozenset({*_UNSENT, "worker_stopped", "secrets_unreadable", "store"})
"""Words of the log that `scenario.delivery.unsent` uses unchanged; all others are `error`."""
_WHY: Final = {"busy": "concurrency", "breaker_open": "breaker", "capped": "cap", "login_left_alone": "login"}
"""Words of the log of attempts → words of `scenario.delivery.wait`; others are the same."""
_REPORT: Final = 1.0  # seconds of an attempt that are reserved for its report
_PATIENCE: Final = 2.0  # seconds for the server's answer before a message leaves; see `OpenAttempt.patience`
_DOUBLED: Final = 8  # maximum factor of that time
_BRIEFLY: Final = timedelta(seconds=1)
"""The pause of an attempt that finds its journey behind for the first time."""
_MOMENT: Final = timedelta(seconds=5)
"""A delivery that is put off for less time, since it was scheduled, is not shown at its step."""
_PROMPT: Final = timedelta(milliseconds=250)
"""A first attempt that starts within this time after the decision to send does not ask for the journey's status."""


@dataclass(kw_only=True, eq=False)
class OpenAttempt:
    """An attempt in progress."""

    delivery: Delivery
    channel: Channel
    destination: str  # host or provider for failures and the log; may be set once it is known
    gate: PolicyGate  # decides, right before sending, whether a message may leave
    context: AttemptContext
    number: int = field(init=False)
    """Its number, from 1 since the step began or was retried, without those that do not count."""
    away: int = field(init=False)  # number of attempts since then that do not count
    unsent_before: int = field(init=False)  # number of attempts in a row, up to this one, that sent nothing
    asked: float = field(init=False)  # when the previous attempt found its journey behind, or 0; see `AttemptCounts`
    stale: bool = field(init=False)  # the server keeps an obsolete mark
    admitted: OutgoingMessage | None = None  # the message that the gate admitted
    turned: bool = False  # True if it is turned away and does not count
    unsent: bool = False  # True if it ended before its message could leave
    is_item: bool = False  # True if the request of a batch call carries it
    began: bool = False  # True once the message was about to be sent
    in_flight: bool = False  # True while the message may arrive and its outcome is unknown
    marked: bool = False  # True if the server may keep a mark of that
    already_delivered: bool = False  # True if the log has the delivery: this attempt makes none
    outcome: Sent | None = None  # its outcome, unless it failed
    skip_word: str | None = None  # why it was skipped, in one word
    excerpt: str = ""  # the beginning of the answer, unless it failed
    against: AddressVerdict | None = None  # the verdict on the address
    row: asyncio.Future[None] | None = None  # done once it is in the log, if somebody waits for that
    clock: ServerClock = field(init=False)

    def __post_init__(self) -> None:
        info = self.context.info
        self.clock = ServerClock(info.started_time)
        self.stale, self.away, self.unsent_before, self.asked = tally(info)
        self.number = self.delivery.tried + max(1, info.attempt - self.away)

    @property
    def sent(self) -> Sent:
        assert self.outcome is not None  # noqa: S101 without one, an error is raised
        return self.outcome

    @property
    def now(self) -> datetime:
        """The time by the server's clock, in UTC."""
        return self.clock.now()

    @property
    def within(self) -> float:
        """Seconds left for sending: the step's `timeout`, or less, to report before Temporal gives the attempt up."""
        return min(self.delivery.timeout, self._left)

    @property
    def patience(self) -> timedelta:
        """Maximum time for the server's answer.

        It doubles with each attempt in a row that sent nothing, up to the time beyond `timeout`, so that a slow server
        does not block a message forever.
        """
        spare = self._left - self.delivery.timeout
        return timedelta(seconds=max(_PATIENCE, min(_PATIENCE * 2.0 ** min(self.unsent_before, _DOUBLED), spare)))

    @property
    def _left(self) -> float:
        info, end = self.context.info, deadline(self.context.info, 0.0)
        given = [info.start_to_close_timeout, end and end - info.started_time]
        least = min((one.total_seconds() for one in given if one is not None), default=math.inf)
        return least - self.clock.passed - _REPORT

    async def may_leave(self, address: str = "") -> None:
        """Raise ApplicationError if the message is deferred or held, Aborted if it is skipped. Nothing is dialled."""
        await self.is_wanted()
        message = OutgoingMessage(self.delivery, self.channel, self.destination, self.now, address)
        self.obey(await self.gate.check(message))
        self.admitted = message

    async def is_wanted(self) -> None:
        """Defer the message while its workflow has pending signals or updates that may end or skip the step.

        Temporal starts attempts even if the journey's workflow tasks are late. An accepted exit would otherwise not
        stop them. An attempt waits once for a signal: those that arrive while it waits do not delay it further.

        The journey's first message is deferred once if the contact has changed since the journey scheduled it.
        """
        info, context = self.context.info, self.context
        decided = datetime.fromtimestamp(self.delivery.decided, UTC) if self.delivery.decided else info.scheduled_time
        is_prompt = info.attempt == 1 and info.started_time - decided < _PROMPT
        is_first = self.delivery.entered > 0 and self.number == 1
        if is_prompt and not is_first:
            return
        asked = datetime.fromtimestamp(self.asked, UTC) if self.asked else None
        # The data of later attempts does not change.
        ignored = (CONTACT_CHANGED,) if self.number > 1 else ()
        try:
            signals = await context.signals_since_scheduled(self.patience) if is_first else set[str]()
            if CONTACT_CHANGED in signals:
                self.turned = True
                raise self.failure(FailureKind.NOT_BEFORE, "the contact has changed", error=CONTACT_CHANGED)
            if is_prompt and not signals:
                return
            status = await context.journey_status(self.patience, asked=asked, ignored=ignored)
        except RPCError:
            raise self._unsent("not_told") from None
        if status is JourneyStatus.UNWANTED:
            raise self._unsent(_CALLED_OFF)
        if status is JourneyStatus.BEHIND:
            pause = SOON if asked else _BRIEFLY
            self.asked = self.asked or self.now.timestamp()
            raise self.backed_off(Backoff(self._pause(pause), _NOT_READY, "this delivery waits until it has", BEHIND))
        self.asked = 0.0

    async def sending(self) -> None:
        """Record that from now on the message may arrive.

        If the step must not send twice (`on_unknown` is not ``retry``), the server stores a mark first. If this worker
        is lost, the next attempt finds the mark and does not send. `activity.heartbeat` alone is not enough: it returns
        before anything is sent, and delays a second one. Raise a RETRY if the server has not stored it in time, or does
        not want the message any longer.
        """
        if self.within <= 0:
            raise self._unsent("no_time")
        if self.delivery.on_unknown != "retry":
            self.marked = True
            try:
                await self.context.store_mark(*self._values(SENDING), patience=self.patience)
            except AsyncActivityCancelledError:  # a journey that leaves or skips, a pause, a reset
                raise self._unsent(_CALLED_OFF) from None
            except RPCError as error:
                gone = error.status is RPCStatusCode.NOT_FOUND  # the step is over already
                raise self._unsent(_CALLED_OFF if gone else "not_noted") from None
        self.began = self.in_flight = True
        if self.delivery.entered and self.context.info.attempt == 1:
            waited = self.now - datetime.fromtimestamp(self.delivery.entered, UTC)
            START_TO_FIRST_SEND.record(waited.total_seconds(), self.channel.name)

    def _unsent(self, word: Literal["called_off", "not_told", "not_noted", "no_time"]) -> ApplicationError:
        return self.not_sent(f"{_UNSENT[word]}: nothing was sent", word)

    def mark(self, word: str) -> None:
        """Leave a mark, sent with the failure, for the next attempt: its state and the counts."""
        self.context.mark(*self._values(word))

    def _values(self, word: str) -> tuple[str | float, ...]:
        unsent = self.unsent_before + 1 if self.unsent else 0
        return mark(word, self.away, self.context.info.attempt, unsent, self.asked)

    def obey(self, ruling: Ruling | Backoff) -> None:
        """Return if the message may leave, and raise otherwise; see `may_leave`. No attempt is counted."""
        match ruling:
            case Backoff():
                raise self.backed_off(ruling)
            case Defer():
                raise self._deferred(ruling)
            case Hold(reason):
                self.turned = True
                raise self.failure(FailureKind.CAPPED, reason, error="capped")
            case Skip(reason, code):
                self.skip_word = code
                raise Aborted(reason)
            case None:
                pass

    def backed_off(self, backoff: Backoff) -> ApplicationError:
        """Return the exception for a message that Temporal retries later. No attempt is counted."""
        self.turned = True
        self._measure_wait(backoff.delay, backoff.code)
        delay = self._before_deadline(backoff.delay)
        return self.uncounted(f"{backoff.reason}: {backoff.then}", backoff.code, delay, why=backoff.reason)

    def _deferred(self, ruling: Defer) -> ApplicationError:
        delay = ruling.until - self.now
        # The deadline starts with the first attempt and includes the time for which later ones are deferred. Shortly
        # before it, a journey would be too slow: Temporal retries then.
        last_chance = self.number > 1 and time_left(self.context.info, self.delivery.room, self.now) <= SOONEST
        if last_chance:
            then = f"it is sent {spell(ruling.until, zone_of(self.delivery.zone))} or later"
            return self.backed_off(Backoff(delay, ruling.reason, then, ruling.code))
        self.turned = True
        self._measure_wait(delay, ruling.code)
        due = self.now + (delay if self.number == 1 else self._before_deadline(delay))
        return self.failure(
            FailureKind.NOT_BEFORE, ruling.reason, error=ruling.code, next_try_at=due.isoformat(timespec="seconds")
        )

    def _measure_wait(self, delay: timedelta, code: str) -> None:
        WAIT.record(delay.total_seconds(), self.channel.name, _WHY.get(code, code))

    def not_sent(self, reason: str, error: str, pause: timedelta = SOON, *, unknown: bool = False) -> ApplicationError:
        """Return the exception for an attempt that ended before its message could leave; a short pause follows.

        Args:
            unknown: True if an earlier attempt may have delivered it: its mark stays.
        """
        self.unsent = True
        UNSENT.add(self.channel.name, error if error in _REASONS else "error")
        # A journey does not schedule a delivery again that was called off.
        return self.uncounted(reason, error, self._pause(pause), unsent=error != _CALLED_OFF, unknown=unknown)

    def uncounted(self, reason: str, error: str, delay: timedelta, **more: Any) -> ApplicationError:
        """Return the exception for an attempt that does not count; see `Failure` for further arguments."""
        self.away += 1
        self.mark(SENDING if more.get("unknown") else SETTLED)
        return self.failure(FailureKind.RETRY, reason, delay, error=error, **more)

    def _pause(self, pause: timedelta = SOON) -> timedelta:
        return self._before_deadline(jittered(pause, self.delivery.id, self.context.info.attempt))

    def _before_deadline(self, delay: timedelta) -> timedelta:
        """Shorten a pause so that the last attempt starts just before the deadline."""
        last = time_left(self.context.info, self.delivery.room, self.now)
        return min(delay, last) if last > timedelta(0) else delay

    def report_delay(self, failure: Failure) -> None:
        """Report to the journey that the delivery will be attempted again, unless it is put off for a moment only."""
        failed, due = failure.attempt > 0, failure.next_try_at
        if not due or not (failed or datetime.fromisoformat(due) - self.context.info.scheduled_time >= _MOMENT):
            return
        report = DelayReport(decided=self.delivery.decided, destination=failure.destination, failed=failed)
        self.context.report_delay(report)

    def delivered(
        self, status: int | None = None, excerpt: str = "", *, saved: Any = None, note: str | None = None
    ) -> Sent:
        """Return the result for an accepted message, with the part of the answer that the journey saves."""
        self.in_flight = False
        self.excerpt = excerpt
        self.outcome = Sent(status=status, attempt=self.number, saved=saved, note=note)
        return self.outcome

    def refused_answer(self, status: int, excerpt: str, note: str | None) -> Sent:
        """Return the result for an accepted message whose response lacks what the step requires."""
        sent = self.delivered(status, excerpt, note=note)
        self.outcome = replace(sent, outcome="refused_answer", excerpt=excerpt)
        return self.outcome

    def batched(self, note: str | None) -> None:
        """Record that it has joined a batch call. The journey continues without waiting for the outcome."""
        self.outcome = Sent(outcome="batched", attempt=self.number, note=note)

    def skipped(self, reason: str, status: int | None = None) -> None:
        """Record that there is nothing to send, or no recipient."""
        self.outcome = Sent(outcome="skipped", attempt=self.number, reason=reason, status=status)

    def failed(self, judgement: Judgement, *, status: int | None = None, excerpt: str = "") -> ApplicationError:
        """Return the exception for a failed attempt that counts; see `end_after`.

        The back-off is Temporal's, so that operators' changes of the policy take effect, unless the receiver asked for
        a longer pause.
        """
        (verdict, sentence, asked), info = judgement, self.context.info
        self.against = verdict.against
        waited = self.now - info.scheduled_time + timedelta(seconds=self.delivery.waited)
        once = self.delivery.on_unknown != "retry"
        end = end_after(verdict, sentence, number=self.number, allowed=self.allowed, waited=waited, once=once)
        delay = replacement_pause(info, self.number, asked, self.delivery.room, self.now) if end is None else None
        if delay is not None and asked is not None:
            self._measure_wait(delay, "retry_after")
        return self.failure(
            FailureKind.RETRY if end is None else _ENDS[end.cause],
            sentence if end is None else end.reason,
            delay,
            status=status,
            error=verdict.reason or None,
            unknown=verdict.unknown,
            excerpt=excerpt,
            exhausted=end is not None and end.cause == "exhausted",
        )

    @property
    def allowed(self) -> int:
        """Maximum number of attempts; 0: as many as the deadline allows.

        Temporal would also count those that were turned away, so journeys leave counting to this class. An operator's
        change in flight is counted by Temporal.
        """
        policy = self.context.info.retry_policy
        return 0 if policy is not None and policy.maximum_attempts else self.delivery.attempts

    def failure(self, kind: FailureKind, reason: str, delay: timedelta | None = None, **more: Any) -> ApplicationError:
        """Return the exception to raise; see `Failure`."""
        self.in_flight = self.in_flight and more.get("unknown", False)
        if kind is FailureKind.RETRY:
            info, now = self.context.info, self.now
            due = next_try(info, now, delay, room=self.delivery.room)
            if due is not None:
                more["next_try_at"] = due.isoformat(timespec="seconds")
            elif next_try(info, now, delay) is not None:
                kind, more["exhausted"] = FailureKind.PERMANENT, True  # Temporal would begin one after the deadline
                if self.in_flight and self.delivery.on_unknown != "retry":
                    kind = FailureKind.UNKNOWN
        made = self.number - 1 if self.turned else self.number
        failure = Failure(
            kind=kind, reason=reason, destination=self.destination, attempt=made, turned_away=self.turned, **more
        )
        return failure.as_error(delay)
