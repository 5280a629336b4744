"""How a step of a journey delivers: what it hands over, what comes of it, and what a person should know about that."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

from temporalio.exceptions import ActivityError, CancelledError, FailureError
from temporalio.exceptions import TimeoutError as ActivityTimeout

from activities.failures import Failure, FailureKind
from activities.interface import RELEASE, Release, Sent
from scenario.steps.delivery import Send
from scenario.steps.host import Delivered, Failed, NotBefore
from workflows.delivery import Handed, cause_of, deliver, failure_in, remembered, unsent, waited
from workflows.host import StepHost
from workflows.limits import LARGEST_DELIVERY
from workflows.local_activities import answer_to


class Sending(StepHost):
    """The part of a journey that delivers.

    Attributes:
        arrived: The id of the latest delivery, if it arrived in this run; else nothing.
    """

    arrived: str = ""

    async def deliver(self, row: Send) -> Delivered | Failed | NotBefore:
        """Delivers what a row of the plan says, under the present step's id."""
        name = self.step
        handed = Handed.of(self.data(), row)
        notes = self._renewed(handed)
        sent = await self._delivered(name, row, handed)
        if isinstance(sent, Failure):
            if sent.kind is FailureKind.NOT_BEFORE and sent.next_try_at:
                self._kept_back(sent.attempt)
                return NotBefore(moment=datetime.fromisoformat(sent.next_try_at), since=sent.reason)
            return Failed(
                reason=sent.reason,
                kind=sent.kind.value,
                cause=cause_of(sent),
                unknown=sent.kind is FailureKind.UNKNOWN,
                destination=row.to or sent.destination,
                status=sent.status,
                attempts=sent.attempt,
                excerpt=sent.excerpt,
                note=_joined(notes),
            )
        notes += self._saved(row, sent)
        self.arrived = self.delivery if sent.outcome == "delivered" else ""
        return Delivered(
            outcome=sent.outcome, reason=sent.reason, status=sent.status, attempts=sent.attempt, note=_joined(notes)
        )

    @property
    def begun(self) -> str:
        """The id of the present step's delivery, where one has been scheduled; else nothing."""
        return "" if self.state.at is None or self.state.now is None else self.delivery

    async def release(self) -> None:
        """Gives back the place under caps that the present step's delivery may have, which is not tried any more."""
        if not self.begun:
            return
        with suppress(FailureError):  # it stays taken then, which does no harm
            await answer_to(RELEASE, Release(delivery=self.begun), tries=3)

    async def _delivered(self, name: str, row: Send, handed: Handed) -> Sent | Failure:
        """Delivers. Returns the failure where that failed for good."""
        if len(handed.json) > LARGEST_DELIVERY:
            most = LARGEST_DELIVERY // 1_000_000
            reason = f"cannot be rendered: the data that its templates name are larger than {most} MB"
            return Failure(kind=FailureKind.TEMPLATE, reason=reason, destination="", attempt=1)
        try:
            try:
                return await deliver(self, name, row, handed)
            except ActivityError as error:
                left = (self.deadline - self.now()).total_seconds()
                again = unsent(error, row, left, self.state.tried, waited(self))
                if again is None or self.interrupted:
                    raise
            return await deliver(self, name, again, handed)
        except ActivityError as error:
            if isinstance(error.cause, CancelledError):
                raise
            failure = await remembered(self, failure_in(error, row))
            if isinstance(error.cause, ActivityTimeout) and not failure.unknown:
                await self.release()
            return failure

    def _kept_back(self, tried: int) -> None:
        """Note what the next attempt has to know of those that were made before policies kept the delivery back."""
        state = self.state
        if tried:
            state.tried, state.scheduled = tried, state.scheduled or self.scheduled.astimezone(UTC).isoformat()
        else:
            state.now = ""  # it is fixed when the message may leave

    def _renewed(self, handed: Handed) -> list[str]:
        """Why what is sent now is not what was sent at first, if so."""
        state, step = self.state, self.plan.steps[self.step]
        reasons: list[str] = []
        if state.anew is not None:
            reasons.append(f"rendered again from {self.followed}")
            handed = Handed.of(self.data(), step) if isinstance(step, Send) else handed
        state.digest = state.digest or handed.digest
        if state.digest != handed.digest:
            reasons.append("rendered again: the contact has changed")
        return reasons

    def _saved(self, row: Send, sent: Sent) -> list[str]:
        """Keeps the response where the step says so. Returns what is to be said about that."""
        notes = [sent.note] if sent.note else []
        if row.save is not None and sent.saved is not None:
            forgotten = ", ".join(self.state.save(row.save, sent.saved))
            if forgotten:
                notes.append(f"older responses were forgotten, all together are too large: {forgotten}")
        return notes


def _joined(notes: list[str]) -> str | None:
    return "; ".join(notes) or None
