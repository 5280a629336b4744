"""The deliveries of a journey: the data and options of their activities, and what becomes of the results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, CancelledError, FailureError
from temporalio.exceptions import TimeoutError as ActivityTimeout

from activities.channel_registry import CHANNELS
from activities.failures import CONTACT_CHANGED, Failure, FailureKind, failed_by
from activities.interface import (
    CAMPAIGNS,
    CLEAR,
    JOURNEYS,
    PRIORITIES,
    RECALL,
    RELEASE,
    Delivery,
    DeliveryRef,
    DestinationPolicyRequest,
    LastAttempt,
    Sent,
    priority_of,
)
from scenario.plan.compile import pick
from scenario.steps.delivery import Send
from scenario.steps.host import Delivered, Failed, NotBefore
from workflows.delivery_result import failure_in, read_sent, unsent
from workflows.host import JourneyHost
from workflows.limits import LARGEST_DELIVERY
from workflows.primitives import TRIES, call, is_cancellation
from workflows.visibility import LONGEST, cut, summary

GRACE: Final = timedelta(seconds=3)
"""Time that an attempt may take beyond its step's `timeout`, to render and to report to Temporal."""
_PATIENCE: Final = timedelta(seconds=12)
"""Time beyond that to query Temporal when Temporal is slow; see `OpenAttempt.patience`."""
_IMMEDIATE: Final = frozenset({"acts", "divides"})
"""Roles of steps that do not wait."""
_NO_DATA: Final = b'"data":{}'


@dataclass(frozen=True)
class DeliveryPayload:
    """The journey's data in a delivery, picked and encoded once for each scheduling."""

    json: bytes  # JSON in UTF-8

    @classmethod
    def of(cls, data: Mapping[str, Any], step: Send) -> DeliveryPayload:
        """Return the fields that a step's templates name."""
        picked = pick(data, step.fields, step.item_fields)
        return cls(json.dumps(picked, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))

    @cached_property
    def digest(self) -> str:
        """A digest that tells the data of two deliveries apart and reveals nothing of them."""
        return hashlib.sha256(self.json).hexdigest()[:20]

    def argument(self, delivery: Delivery) -> RawValue:
        """Return the activity's argument: a delivery, with these data in it."""
        # Defaults are left out, since histories keep the argument of each scheduling.
        implied = {"now": delivery.decided_at}
        stated = {
            one.name: value
            for one in fields(delivery)
            if (value := getattr(delivery, one.name)) not in (one.default, implied.get(one.name))
        }
        payload = workflow.payload_converter().to_payload(stated)
        payload.data = payload.data.replace(_NO_DATA, b'"data":' + self.json, 1)  # no JSON string has a bare quote
        return RawValue(payload)


class DeliveryRunner:
    """Performs the deliveries of a journey."""

    def __init__(self, host: JourneyHost) -> None:
        self._host = host
        self.in_flight: Send | None = None  # the step with a delivery in flight, and its current retry policy
        self.deadline = self._scheduled = datetime.max.replace(tzinfo=UTC)
        self.delivered = ""  # the id of the latest delivery if it was delivered in this run; else empty

    async def deliver(self, row: Send) -> Delivered | Failed | NotBefore:
        """Send the message of a row under the current step's delivery id."""
        host = self._host
        payload = DeliveryPayload.of(host.data(), row)
        notes = self._changes(payload)
        sent = await self._send(row, payload)
        if isinstance(sent, Failure):
            if sent.kind is FailureKind.NOT_BEFORE and sent.error == CONTACT_CHANGED:  # nothing has been sent
                host.stop_if_interrupted()
                host.state.digest = None
                return await self.deliver(row)
            if sent.kind is FailureKind.NOT_BEFORE and sent.next_try_at:
                self._defer(sent.attempt, row.to or sent.destination)
                return NotBefore(moment=datetime.fromisoformat(sent.next_try_at), since=sent.reason)
            return failed_by(sent, row.to, _joined(notes))
        notes += [sent.note] if sent.note else []
        self.delivered = host.delivery_id if sent.outcome in ("delivered", "refused_answer") else ""
        return Delivered(
            outcome=sent.outcome,
            reason=sent.reason,
            status=sent.status,
            attempts=sent.attempt,
            note=_joined(notes),
            saved=sent.saved,
            excerpt=sent.excerpt,
        )

    @property
    def scheduled_id(self) -> str:
        """The id of the current step's delivery if it has been scheduled; else empty."""
        state = self._host.state
        return "" if state.at is None or state.now is None else self._host.delivery_id

    async def release(self) -> None:
        """Release the claims under caps of the current step's delivery, which is not attempted again."""
        if self.scheduled_id:
            with suppress(FailureError):  # the claim then stays until it expires
                await call(RELEASE, DeliveryRef(delivery=self.scheduled_id), tries=TRIES)

    async def _send(self, row: Send, payload: DeliveryPayload) -> Sent | Failure:
        """Deliver. Return a terminal failure."""
        if len(payload.json) > LARGEST_DELIVERY:
            most = LARGEST_DELIVERY // 1_000_000
            reason = f"cannot be rendered: the data that its templates name are larger than {most} MB"
            return Failure(kind=FailureKind.TEMPLATE, reason=reason, destination="", attempt=1)
        host = self._host
        try:
            try:
                return await self._execute(row, payload)
            except ActivityError as error:
                left = (self.deadline - workflow.now()).total_seconds()
                again = unsent(error, row, left, host.state.tried, self._waited())
                if again is None or host.is_interrupted:
                    raise
            return await self._execute(again, payload)
        except ActivityError as error:
            if isinstance(error.cause, CancelledError):
                raise
            failure = await self._with_last_response(failure_in(error, row))
            if isinstance(error.cause, ActivityTimeout) and failure.unknown:  # no attempt has consulted the log
                last = await self._last_attempt(host.delivery_id)
                if last is not None and last.delivered is not None:
                    return last.delivered
            if isinstance(error.cause, ActivityTimeout) and not failure.unknown:
                await self.release()
            return failure

    async def _execute(self, step: Send, payload: DeliveryPayload) -> Sent | Failure:
        """Run the activity of a delivery to its end. Return its result, or a failure if that cannot be read.

        Raise ActivityError if it failed terminally, or was cancelled.
        """
        host, state, changes = self._host, self._host.state, self._host.changes
        name = host.step
        channel = CHANNELS[step.channel]
        queue = channel.queue
        if step.destination:
            policy = await call(CLEAR, DestinationPolicyRequest(destination=step.to), about=step.to)
            host.stop_if_interrupted()
            step, queue = step.as_asked(policy.retry, policy.timeout), policy.queue or queue
        if step.batch is not None:  # to join a batch sends nothing: it must not use up the destination's rate
            queue = JOURNEYS
        step = replace(step, retry=step.retry.changed_by(state.retuned))
        identifier, entered = host.delivery_id, self._entered()
        # Fixed when the message may leave for the first time. A retry is then the same, even if the contact moves.
        state.now = state.now or await self._first_now(identifier) or host.local(workflow.now())
        began = host.began.replace(microsecond=0)
        if host.changes != changes:
            payload = DeliveryPayload.of(host.data(), step)
        # The deadline limits the start of attempts: one in flight at that moment ends normally.
        timeout = timedelta(seconds=step.timeout)
        # A step that may be sent again queries only before a retry. Its failure is then detected sooner.
        room = timeout + GRACE + (min(timeout, _PATIENCE) if step.on_unknown == "retry" else _PATIENCE)
        decided, waited = workflow.now(), self._waited()
        delivery = Delivery(
            id=identifier,
            scenario=host.followed,
            contact=host.entry.contact_id,
            now=state.now,
            timeout=step.timeout,
            on_unknown=step.on_unknown,
            attempts=step.retry.maximum_attempts,
            root=state.root if step.calls_back else "",
            room=room.total_seconds(),
            zone="" if str(host.zone) == "UTC" else str(host.zone),
            at_once=state.send_now,
            entered=entered,
            tried=state.tried,
            waited=waited,
            began="" if began == datetime.fromisoformat(state.now) else began.astimezone(UTC).isoformat(),
            decided=_milliseconds(decided),
            retried=state.retried,
        )
        left = timedelta(seconds=max(step.lead + step.retry.deadline - waited, 0.0))
        self.in_flight, self._scheduled, self.deadline = step, decided, decided + left
        try:
            answer = await workflow.execute_activity(
                channel.activity,
                payload.argument(delivery),
                result_type=RawValue,
                task_queue=queue,
                activity_id=name,
                start_to_close_timeout=room,
                schedule_to_close_timeout=left + room,
                retry_policy=retry_policy(step, identifier),
                summary=summary(name, step),
                priority=priority_of(CAMPAIGNS if self._is_campaign else host.plan.purpose, step.to),
            )
        finally:
            self.in_flight = None
        return read_sent(channel.send, answer, step.to or step.channel)

    @property
    def _is_campaign(self) -> bool:
        """True if a campaign started the journey: triggers overtake it."""
        return workflow.info().priority.priority_key == PRIORITIES[CAMPAIGNS]

    def _waited(self) -> float:
        """Return the seconds since the first attempt of a delivery that was deferred after it was scheduled, else 0."""
        first = self._host.state.scheduled
        return 0.0 if first is None else (workflow.now() - datetime.fromisoformat(first)).total_seconds()

    def _entered(self) -> float:
        """Return when the journey started, in seconds since 1970, or 0 unless this is its first message."""
        state, steps = self._host.state, self._host.plan.steps
        before = {steps[one.id].role if one.id in steps else "" for one in state.steps}
        if state.now is not None or state.reset or state.operations or not before <= _IMMEDIATE:
            return 0.0
        return round(datetime.fromisoformat(state.entered_at).timestamp(), 3)

    async def _first_now(self, identifier: str) -> str:
        """Return the `now` of this delivery before the journey was reset to an earlier point, or nothing.

        The delivery is repeated under the same id. With the same `now`, its bytes are the same too. Only runs that a
        reset created query this, and runs that continue them.
        """
        # The marker distinguishes deliveries of this run from those before the point, which are in its history.
        if not self._host.state.reset or not workflow.patched(f"first-now-{identifier}"):
            return ""
        last = await self._last_attempt(identifier)
        self._host.stop_if_interrupted()
        return last.now if last else ""

    async def _last_attempt(self, identifier: str) -> LastAttempt | None:
        """Return the latest attempt on record, or None if the log cannot be read."""
        try:
            return await call(RECALL, DeliveryRef(delivery=identifier), tries=TRIES)
        except FailureError as error:
            if is_cancellation(error):
                raise
            return None

    async def _with_last_response(self, failure: Failure) -> Failure:
        """Add the receiver's last response to the failure of a delivery that was turned away at its end.

        A receiver that is down for days gets few requests, and a turned-away attempt does not show the cause.
        """
        if not failure.turned_away or not failure.attempt:
            return failure
        last = await self._last_attempt(self._host.delivery_id)
        if last is None:
            return failure
        answered = f"it answered {last.status}" if last.status else last.error
        reason = f"{failure.reason}; before that: {answered}" if answered else failure.reason
        return replace(failure, reason=reason, status=last.status, excerpt=last.excerpt)

    def show_delay(self, report: Mapping[str, Any]) -> None:
        """Show the journey at this step while the delivery in flight waits for its next attempt.

        Args:
            report: As `activities.interface.DelayReport`. Ignored if that delivery has ended.
        """
        host, step = self._host, self.in_flight
        if step is None or report.get("decided") != _milliseconds(self._scheduled):
            return
        host.state.retrying |= report.get("failed") is True
        host.state.delayed_by = step.to or cut(str(report.get("destination") or ""), LONGEST) or step.channel
        host.show()

    def _defer(self, tried: int, destination: str) -> None:
        """Keep the number and the start of the attempts before policies deferred the delivery."""
        state = self._host.state
        state.retrying, state.delayed_by = bool(tried), destination if tried else ""
        if tried:
            state.tried, state.scheduled = tried, state.scheduled or self._scheduled.astimezone(UTC).isoformat()
        else:
            state.now = ""  # fixed when the message may leave

    def _changes(self, payload: DeliveryPayload) -> list[str]:
        """Return remarks on why the message differs from the one that was sent first."""
        host, state = self._host, self._host.state
        step = host.plan.steps[host.step]
        notes: list[str] = []
        if state.override is not None:
            notes.append(f"rendered again from {host.followed}")
            payload = DeliveryPayload.of(host.data(), step) if isinstance(step, Send) else payload
        state.digest = state.digest or payload.digest
        if state.digest != payload.digest:
            notes.append("rendered again: the contact has changed")
        return notes


def retry_policy(step: Send, identifier: str) -> RetryPolicy:
    """Return the step's retry policy for Temporal, with jitter derived from the delivery id.

    Temporal adds no jitter itself. It is part of the policy, so that operators can change the policy in flight. The
    number of attempts is limited by `Delivery.attempts`, since Temporal also counts attempts that were turned away.
    """
    spread = step.retry.spread(identifier)
    return RetryPolicy(
        initial_interval=timedelta(seconds=spread.initial_interval),
        backoff_coefficient=spread.backoff_coefficient,
        maximum_interval=timedelta(seconds=spread.maximum_interval),
    )


def _milliseconds(moment: datetime) -> float:
    """Return a time in seconds since 1970, to the millisecond."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000).timestamp()


def _joined(notes: list[str]) -> str | None:
    return "; ".join(notes) or None
