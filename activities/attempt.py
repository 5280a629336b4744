"""One attempt of a delivery from its beginning to its end: what it tells Temporal, and what the log keeps of it.

All channels go through `attempt_of`, so that an attempt is counted, recorded, cut short and resumed in one way:

    with attempt_of(delivery, channel=SMS, destination="twilio", log=self._log) as attempt:
        await attempt.sending()
        ...
        attempt.delivered(status=201)
    return attempt.sent
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, TypeVar, cast

from temporalio import activity
from temporalio.client import AsyncActivityCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.attempt_log import Log, record
from activities.backoff import deadline, instead, left, next_try
from activities.content import UnknownVersion
from activities.failures import SENDING, Failure, FailureKind
from activities.heartbeats import SETTLED, turned_away
from activities.interface import Channel, Delivery, Sent
from activities.outcome import Judgement, Outcome, Verdict, attempts, end_after
from activities.permission import Gate, Never, NotYet
from runtime.errors import SettingsError
from scenario.errors import Aborted, BadRecipient, NotConfigured, TemplateError

T = TypeVar("T")

_SOON: Final = timedelta(seconds=1)
_UNSENT: Final = {
    "called_off": "It was called off",
    "not_noted": "Temporal could not note the sending in time",
    "no_time": "What came before the sending took all of the time",
}
_ENDS: Final[Mapping[str, FailureKind]] = {
    "permanent": FailureKind.PERMANENT,
    "exhausted": FailureKind.PERMANENT,
    "unknown": FailureKind.UNKNOWN,
}
_REPORT: Final = 1.0
"""Seconds of what Temporal gives an attempt that are kept for telling it how the attempt ended."""
_PATIENCE: Final = timedelta(seconds=2)
"""What the server may take to note that a message is about to leave: it comes off what an attempt has beyond its
time-out (`workflows.delivery.GRACE`)."""


@dataclass(kw_only=True, eq=False)
class OpenAttempt:
    """An attempt under way.

    Attributes:
        delivery: What is being delivered.
        destination: Host or provider, as failures and the log name it; may be set once it is known.
        number: Counted from 1 since the step was last scheduled. Attempts that were turned away do not count.
        away: How many attempts were turned away since then.
        stale: The server keeps a mark that means nothing any more.
        gates: Who is asked, right before anything leaves, whether it may; one after the other.
        turned: Whether this one is, so that it is not an attempt at all.
        began: The message was about to be sent: before that, nothing can have left.
        in_flight: The message may arrive, and nothing says yet whether it did.
        marked: The server keeps a mark of that, or may do so.
        outcome: How it ended, unless it failed.
        excerpt: How the answer to a delivered message begins.
        started: When this attempt began, on the clock of `time.perf_counter`.
    """

    delivery: Delivery
    destination: str
    number: int
    away: int
    stale: bool
    gates: Sequence[Gate]
    turned: bool = False
    began: bool = False
    in_flight: bool = False
    marked: bool = False
    outcome: Sent | None = None
    excerpt: str = ""
    started: float = field(default_factory=time.perf_counter)

    @property
    def sent(self) -> Sent:
        """How it ended, which was well."""
        return cast("Sent", self.outcome)  # without one, an error is on its way

    @property
    def within(self) -> float:
        """Seconds that sending may take from now on: the step's `timeout`, or less where Temporal does not wait for it.

        Of an attempt that Temporal gives up, nobody hears how it ended. So it ends by itself before that.
        """
        info, end = activity.info(), deadline(activity.info(), 0.0)
        given = [info.start_to_close_timeout, end and end - info.started_time]
        least = min((one.total_seconds() for one in given if one is not None), default=math.inf)
        return min(self.delivery.timeout, least - (time.perf_counter() - self.started) - _REPORT)

    async def may_leave(self) -> None:
        """Asks whether the message may leave, before a connection is opened for it.

        Raises:
            ApplicationError: Not yet.
            Aborted: Not at all.
        """
        for gate in self.gates:
            self.permitted(await gate(self.delivery))

    async def sending(self) -> None:
        """Says that from now on the message may arrive.

        Where the step must not send twice (`on_unknown` is not ``retry``), the server notes it first: should this
        worker be lost before it can report, the next attempt finds the mark and does not send. Temporal itself would
        only see a time-out, and try again. `activity.heartbeat` does not do for it: that call returns before anything
        has left, and keeps a second one in an attempt back.

        Raises:
            ApplicationError: RETRY: the server has not noted it, or does not want it any more, or will not wait for the
                answer. Nothing is to be sent.
        """
        if self.within <= 0:
            raise self._unsent("no_time")
        if self.delivery.on_unknown != "retry":
            self.marked = True
            handle = activity.client().get_async_activity_handle(task_token=activity.info().task_token)
            try:
                await handle.heartbeat(*self._values(SENDING), rpc_timeout=_PATIENCE)
            except AsyncActivityCancelledError:  # a journey that leaves or skips, a pause, a reset
                raise self._unsent("called_off") from None
            except RPCError as error:
                gone = error.status is RPCStatusCode.NOT_FOUND  # the step is over already
                raise self._unsent("called_off" if gone else "not_noted") from None
        self.began = self.in_flight = True

    def _unsent(self, word: Literal["called_off", "not_noted", "no_time"]) -> ApplicationError:
        return self.uncounted(f"{_UNSENT[word]}: nothing was sent", word)

    def mark(self, word: str) -> None:
        """Leaves a mark that goes out with the failure, for the next attempt to find.

        It says how this one stands, and what does not count.
        """
        activity.heartbeat(*self._values(word))

    def _values(self, word: str) -> tuple[Any, ...]:
        return (word, self.away, activity.info().attempt) if self.away else (word,)

    def permitted(self, answer: T | NotYet | Never) -> T:
        """What somebody answered who was asked whether it may leave now: the only place where that is not to go.

        Raises:
            ApplicationError: Not yet. No attempt has been made, and none is counted.
            Aborted: Not at all.
        """
        match answer:
            case NotYet():
                raise self.kept_back(answer)
            case Never():
                raise Aborted(answer.since)
            case _:
                return answer

    def kept_back(self, until: NotYet) -> ApplicationError:
        """The exception to raise where nothing may be sent yet: no attempt has been made, and none is counted."""
        self.turned = True
        if until.planned and self.number == 1:
            due = (datetime.now(UTC) + until.delay).isoformat(timespec="seconds")
            return self.failure(FailureKind.NOT_BEFORE, until.since, error=until.word, next_try_at=due)
        # A delivery whose deadline comes before that has its last chance just before the deadline.
        delay = (
            min(until.delay, last)
            if (last := left(activity.info(), self.delivery.room)) > timedelta(0)
            else until.delay
        )
        return self.uncounted(f"{until.since}: {until.then}", until.word, why=until.since, delay=delay)

    def uncounted(self, reason: str, error: str, *, why: str = "", delay: timedelta | None = None) -> ApplicationError:
        """The exception to raise where an attempt came to nothing before it could begin: it does not count.

        Args:
            reason: One sentence.
            error: Class of the error, in one word.
            why: Of one that is turned away, how the reason begins.
            delay: When to try again, if not after the pause of the policy.
        """
        self.discount()
        return self.failure(FailureKind.RETRY, reason, error=error, why=why, delay=delay)

    def discount(self) -> None:
        """Says that this one shall not count, although it is on record: it came to nothing before it could begin."""
        self.away += 1
        self.mark(SETTLED)

    def delivered(
        self, status: int | None = None, excerpt: str = "", *, saved: Any = None, note: str | None = None
    ) -> Sent:
        """The result for a message that was taken.

        Args:
            status: The receiver's reply code.
            excerpt: How its answer begins, redacted; kept in the log.
            saved: What the journey keeps of the answer.
            note: Why it keeps nothing, or not all of it.
        """
        self.in_flight = False
        self.excerpt = excerpt
        self.outcome = Sent(status=status, attempt=self.number, saved=saved, note=note)
        return self.outcome

    def skipped(self, reason: str) -> Sent:
        """The result where there is nothing to send, or nobody to send it to."""
        self.outcome = Sent(outcome="skipped", attempt=self.number, reason=reason)
        return self.outcome

    def failed(self, judgement: Judgement, *, status: int | None = None, excerpt: str = "") -> ApplicationError:
        """The exception to raise for an attempt that counts and did not deliver; see `end_after`.

        The back-off is Temporal's own, so that an operator's change of the retry policy takes effect at once, unless
        the receiver asked for more seconds.

        Args:
            judgement: What the attempt means.
            status: The receiver's reply code, if there was a reply.
            excerpt: How the reply begins, redacted.
        """
        (verdict, sentence, asked), info = judgement, activity.info()
        waited, once = datetime.now(UTC) - info.scheduled_time, self.delivery.on_unknown != "retry"
        end = end_after(verdict, sentence, number=self.number, allowed=self.allowed, waited=waited, once=once)
        return self.failure(
            FailureKind.RETRY if end is None else _ENDS[end.cause],
            sentence if end is None else end.reason,
            instead(info, self.number, asked, self.delivery.room) if end is None else None,
            status=status,
            error=verdict.reason or None,
            unknown=verdict.unknown,
            excerpt=excerpt,
            exhausted=end is not None and end.cause == "exhausted",
        )

    @property
    def allowed(self) -> int:
        """So many attempts the step allows; 0: as many as the deadline does.

        Temporal would also count those that were turned away: journeys leave it to us. Who changes the number in flight
        does so at Temporal, which then counts, as it does for what workers scheduled who left it to Temporal.
        """
        policy = activity.info().retry_policy
        return 0 if policy is not None and policy.maximum_attempts else self.delivery.attempts

    def failure(self, kind: FailureKind, reason: str, delay: timedelta | None = None, **more: Any) -> ApplicationError:
        """The exception to raise, whatever became of the attempt; see `Failure` for what may be said more."""
        self.in_flight = self.in_flight and more.get("unknown", False)
        if kind is FailureKind.RETRY:
            info, now = activity.info(), datetime.now(UTC)
            due = next_try(info, now, delay, room=self.delivery.room)
            if due is not None:
                more["next_try_at"] = due.isoformat(timespec="seconds")
            elif next_try(info, now, delay) is not None:
                kind, more["exhausted"] = FailureKind.PERMANENT, True  # Temporal would begin one after the deadline
        made = self.number - 1 if self.turned else self.number
        failure = Failure(
            kind=kind, reason=reason, destination=self.destination, attempt=made, turned_away=self.turned, **more
        )
        return failure.as_error(delay)


@contextmanager
def attempt_of(
    delivery: Delivery,
    *,
    channel: Channel,
    destination: str,
    log: Log,
    gates: Sequence[Gate] = (),
    unrendered: str = "",
) -> Generator[OpenAttempt]:
    """Runs one attempt inside an activity, and records it.

    What comes up before anything is sent is translated, the same in all channels: that there is nothing to send into
    ``skipped``; a template's fault, or a setting that is missing, into its failure. Other errors pass as they are. A
    cancellation by a stopping worker becomes a failure, since Temporal must try again, or not, according to what had
    already left; any other cancellation passes through.

    Args:
        delivery: What to deliver.
        channel: By what.
        destination: Host or provider; may be changed on the attempt.
        log: Where it is recorded. Its troubles never cost a delivery its success.
        gates: See `OpenAttempt`.
        unrendered: How the sentence begins where it cannot be rendered.

    Raises:
        ApplicationError: As the block raised it, or for an attempt that was cut short, now or before.
    """
    info = activity.info()
    counted, away = turned_away(info)
    number = max(1, info.attempt - away)
    attempt = OpenAttempt(
        delivery=delivery, destination=destination, number=number, away=away, stale=not counted, gates=gates
    )
    error: BaseException | None = None
    try:
        _refuse(attempt, info)
        yield attempt
    except Aborted as aborted:
        attempt.skipped(aborted.reason)
    except asyncio.CancelledError as cancelled:
        error = _cut_short(attempt) or cancelled
        raise error from None
    except BaseException as raised:
        error = raised if attempt.began else _translated(attempt, raised, unrendered)
        if error is raised:
            raise
        raise error from None
    finally:
        uncertain = attempt.in_flight and delivery.on_unknown != "retry"
        if error is not None and (attempt.marked or attempt.stale) and not uncertain:
            # In place of the mark that is there: this time nothing is uncertain.
            attempt.mark(SETTLED)
        record(log, attempt, channel, info, round((time.perf_counter() - attempt.started) * 1000), error)


def _translated(attempt: OpenAttempt, raised: BaseException, unrendered: str) -> BaseException:
    """What is raised in place of an error that came up before anything was sent."""
    text = str(raised)
    sentence = text[:1].upper() + text[1:]
    match raised:
        case ApplicationError():
            return raised
        case NotConfigured():
            return attempt.failure(FailureKind.UNCONFIGURED, sentence, error="unconfigured")
        case BadRecipient():
            return attempt.failure(FailureKind.PERMANENT, text, error=raised.word)
        case UnknownVersion():
            return attempt.failure(FailureKind.TEMPLATE, unrendered + text, error="unknown_version")
        case TemplateError():
            return attempt.failure(FailureKind.TEMPLATE, unrendered + text, error="template_failed")
        case SettingsError():  # a secret's file that cannot be read: it is being replaced, perhaps
            return attempt.uncounted(sentence, "secrets_unreadable")
        case _:
            # The store is away, or the program has a mistake: the step's attempts are for sending.
            attempt.discount()
            return raised


def _refuse(attempt: OpenAttempt, info: activity.Info) -> None:
    """Raises the failure of an attempt that is not to be made."""
    once, allowed, end = attempt.delivery.on_unknown != "retry", attempt.allowed, deadline(info, attempt.delivery.room)
    if once and list(info.heartbeat_details[:1]) == [SENDING]:
        attempt.in_flight = True  # as it was: the mark stays
        raise attempt.failure(
            FailureKind.UNKNOWN,
            "The worker was lost while it was sending: the message may have been delivered",
            error="worker_lost",
            unknown=True,
        )
    if end is not None and info.started_time >= end:
        attempt.turned = True
        reason = "The deadline has passed: no further attempt is made"
        raise attempt.failure(FailureKind.PERMANENT, reason, error="deadline", exhausted=True)
    # Where nothing may be sent twice, an attempt that was lost has left no mark: it sent nothing, and does not count.
    if allowed and attempt.number > allowed and not once:
        reason = f"A worker was lost during the last of {attempts(allowed)}: the message may have been delivered"
        raise attempt.failure(FailureKind.PERMANENT, reason, error="worker_lost", unknown=True, exhausted=True)


def _cut_short(attempt: OpenAttempt) -> ApplicationError | None:
    """The failure of an attempt that this worker's end interrupts; None where somebody else cancelled it."""
    details = activity.cancellation_details()
    if details is None or not details.worker_shutdown:
        return None
    if attempt.in_flight:
        sentence = "The worker was stopped while it was sending: the message may have been delivered"
        return attempt.failed(Judgement(Verdict(Outcome.RETRY, "worker_stopped", unknown=True), sentence))
    # The destination has nothing to do with it: it is not given the pause that a failing one is, nor does this count.
    return attempt.uncounted("The worker was stopped before it sent anything", "worker_stopped", delay=_SOON)
