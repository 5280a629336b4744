"""How a step of a journey delivers: what it hands over, what comes of it, and what a person should know about that."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError, CancelledError

from workflows.delivery import cause_of, deliver, digest, failure_in, remembered, unsent
from workflows.host import StepHost
from workflows.limits import LARGEST_DELIVERY, size_of

with workflow.unsafe.imports_passed_through():
    from activities.failures import Failure, FailureKind
    from activities.interface import Sent
    from scenario.plan.context import pick
    from scenario.steps.delivery import Send
    from scenario.steps.host import Delivered, Failed


class Sending(StepHost):
    """The part of a journey that delivers."""

    async def deliver(self, row: Send) -> Delivered | Failed:
        """Delivers what a row of the plan says, under the present step's id."""
        name = self.step
        notes = self._renewed()
        sent = await self._delivered(name, row)
        if isinstance(sent, Failure):
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
        return Delivered(
            outcome=sent.outcome, reason=sent.reason, status=sent.status, attempts=sent.attempt, note=_joined(notes)
        )

    async def _delivered(self, name: str, row: Send) -> Sent | Failure:
        """Delivers. Returns the failure where that failed for good."""
        # As with large events: asked for only where it matters.
        if size_of(pick(self.data(), row.fields, row.items)) > LARGEST_DELIVERY and workflow.patched(
            "large-deliveries"
        ):
            most = LARGEST_DELIVERY // 1_000_000
            reason = f"cannot be rendered: the data that its templates name are larger than {most} MB"
            return Failure(kind=FailureKind.TEMPLATE, reason=reason, destination="", attempt=1)
        try:
            try:
                return await deliver(self, name, row)
            except ActivityError as error:
                again = unsent(error, row)
                if again is None or self.interrupted:
                    raise
            return await deliver(self, name, again)
        except ActivityError as error:
            if isinstance(error.cause, CancelledError):
                raise
            return await remembered(self, name, failure_in(error, row))

    def _renewed(self) -> list[str]:
        """Why what is sent now is not what was sent at first, if so."""
        state, step = self.state, self.plan.steps[self.step]
        now = digest(pick(self.data(), step.fields if isinstance(step, Send) else ()))
        state.digest = state.digest or now
        reasons: list[str] = []
        if state.anew is not None:
            reasons.append(f"rendered again from {self.followed}")
        if state.digest != now:
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
