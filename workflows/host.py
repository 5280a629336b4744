"""The host of steps on Temporal: a journey's data and clock, conditions, waits, holds, the record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from temporalio import workflow
from typing_extensions import override

from activities.interface import CLEAR, DECIDE, Answer, Clearance, Cleared, Question
from scenario.entry.entry import Entry
from scenario.plan.plan import Plan
from scenario.steps.delivery import Send, delivery_id
from scenario.steps.host import ContinueAsNew, Failed, Host, Inputs, Leave, Memory, Outcome, RowOverride
from scenario.steps.registry import read_row
from scenario.time.timing import zone_of
from workflows import visibility
from workflows.local_activities import answer_to
from workflows.records import Migration
from workflows.state import LONGEST_REASON, Event, Held, State, StepRecord
from workflows.waiting import wait

if TYPE_CHECKING:
    from datetime import tzinfo


class StepHost(Host):
    """The part of a journey that its steps use.

    Attributes:
        entry: As it came.
        state: What the journey remembers.
        plan: What it follows.
        version: Name and version of it, ``post-purchase@3``; empty before admission.
        ended: The outcome of a journey that ends at its admission; else empty.
        early: How many updates wait for admission.
        changes: Counts the changes of the contact.
        retrying: An operator wants the held step to be tried again.
        skipping: An operator wants the present step to be skipped, for this reason.
        full: This run has taken so many signals that another is to go on.
        stays: What there is to hand on is too large for another run: this one goes on.
        moving: Another version, in which the journey goes on as soon as nothing of the present step is under way.
        under_way: The step whose delivery is under way, with the policy that it has.
        deadline: Of the delivery that was scheduled last.
        scheduled: When that was.
    """

    entry: Entry
    state: State
    plan: Plan
    version: str = ""

    def __init__(self) -> None:
        self.ended = ""
        self.early: int = 0
        self.changes = 0
        self.retrying = False
        self.skipping: str | None = None
        self.full = False
        self.stays = False
        self.moving: Migration | None = None
        self.under_way: Send | None = None
        self.deadline = self.scheduled = datetime.max.replace(tzinfo=UTC)
        self._attributes = visibility.SearchAttributes()
        self._data: dict[str, Any] = {}
        self._zone: tzinfo = zone_of()
        self._leaving: Leave | None = None
        self._unnoted: list[tuple[str, str, str]] = []
        self._arrived: list[Event] = []
        self._dealing = False
        self._settled = 0
        self._history_length = 0

    @property
    @override
    def zone(self) -> tzinfo:
        return self._zone

    @property
    @override
    def step(self) -> str:
        return self.state.at or ""

    @property
    @override
    def memory(self) -> Memory:
        return self.state.memory

    @property
    @override
    def inputs(self) -> Inputs:
        state = self.state
        return Inputs(self.changes, state.events, state.counted, state.paused is not None, state.at_once)

    @property
    @override
    def began(self) -> datetime:
        return datetime.fromisoformat(self.state.since) if self.state.since else workflow.now()

    @property
    @override
    def must_continue(self) -> bool:
        return self.moving is not None or self.outgrown

    @property
    def outgrown(self) -> bool:
        """Whether the history has grown so long, by signals or so that the server suggests it, to continue as new."""
        return not self.stays and (self.full or workflow.info().is_continue_as_new_suggested())

    @property
    def delivery(self) -> str:
        """The id of the present step's delivery."""
        state, name = self.state, self.step
        known = state.delivery
        return known or delivery_id(workflow.info().workflow_id, state.root, name, state.visits.get(name, 0))

    def local(self, moment: datetime) -> str:
        """A moment on the contact's clock, ISO 8601."""
        return moment.astimezone(self._zone).isoformat(timespec="seconds")

    @override
    def data(self) -> dict[str, Any]:
        journey = {**self._data["journey"], "timezone": str(self._zone)}
        data = {**self._data, "journey": journey, "responses": self.state.responses}
        if self.memory.event is not None:
            data["event"] = self.memory.event
        return data

    @property
    @override
    def row_override(self) -> RowOverride | None:
        anew = self.state.anew
        return None if anew is None else RowOverride(read_row(anew.step), self.followed)

    @property
    def followed(self) -> str:
        """Name and version whose templates the present step is rendered from."""
        anew = self.state.anew
        return self.version if anew is None else f"{self.entry.name}@{anew.version}"

    @override
    def now(self) -> datetime:
        return workflow.now()

    async def clear(self, clearance: Clearance) -> Cleared:
        """Asks what a destination wants."""
        cleared = await answer_to(CLEAR, clearance, about=clearance.destination)
        self.stop_if_interrupted()
        return cleared

    @override
    async def evaluate(
        self,
        text: str,
        kind: Literal["condition", "value", "text"],
        *,
        event: Event | None = None,
        cases: Sequence[str] = (),
        offset: float | None = None,
    ) -> Answer:
        now = self.local(workflow.now())
        data = {**self.data(), "now": now, "today": now[:10]}
        if event is not None:
            data["event"] = event.data()
        question = Question(text=text, data=data, kind=kind, cases=tuple(cases))
        if offset is not None:
            question = replace(question, zone=str(self.zone), offset=offset)
        # By the step: a condition may be long, and may quote what only its author should see.
        return await answer_to(DECIDE, question, about=self.step)

    @override
    async def wait(self, until: datetime | None, what: str, wake: Callable[[], bool]) -> bool:
        self.stop_if_interrupted()
        self.show()
        limit = None if until is None else until - workflow.now()
        woke = await wait(lambda: wake() or self.must_continue, limit, what)
        # An event that came before the end of the wait counts, whichever task of the journey resumes first.
        if not self.taken_in:
            await workflow.wait_condition(lambda: self.taken_in)
        return woke

    @override
    def record(
        self,
        outcome: str,
        reason: str | None = None,
        *,
        status: int | None = None,
        attempts: int | None = None,
        note: str | None = None,
        way: str | None = None,
    ) -> None:
        self.state.held = None
        self.retrying = False
        name = self.step
        if not self.revisable:
            self._history_length = workflow.info().get_current_history_length()
            self._settled = self.state.told + len(self.state.passed)
        self.state.record(
            StepRecord(
                id=name,
                kind=self.plan.steps[name].kind,
                outcome=outcome,
                at=workflow.now().isoformat(timespec="seconds"),
                reason=reason,
                status=status,
                attempts=attempts or None,
                note="; ".join(filter(None, (*self.memory.deferrals, note))) or None,
                way=way,
            )
        )

    @property
    def revisable(self) -> int:
        """Number of the steps that were completed in the present workflow task: it may be refused, and done anew."""
        is_same = workflow.info().get_current_history_length() == self._history_length
        return max(self.state.told + len(self.state.passed) - self._settled, 0) if is_same else 0

    @override
    def hold(self, failed: Failed) -> None:
        self.state.held = Held(
            step=self.step,
            kind=failed.kind,
            reason=failed.reason,
            at=workflow.now().isoformat(timespec="seconds"),
            destination=failed.destination,
            status=failed.status,
            attempts=failed.attempts or None,
            excerpt=failed.excerpt,
            cause=failed.cause,
        )
        self.memory.stop_waiting()
        self.state.tried, self.state.scheduled = 0, None
        self.retrying = False
        told = {"step": self.step, "kind": failed.kind, "status": failed.status, "cause": failed.cause}
        workflow.logger.warning("held", extra=told)
        visibility.remember(self.state.held)
        self.show()

    @override
    async def decided(self) -> Outcome | None:
        if self.state.held is None:
            return None
        self.stop_if_interrupted()
        self.show()
        await workflow.wait_condition(lambda: self.retrying or self.must_continue)
        if not self.retrying:
            return ContinueAsNew()
        self.retrying = False
        self.state.held = None
        self.show()
        return None

    @override
    def ignore(self, what: str, reason: str) -> None:
        self.pass_over(what, reason, tell=False)

    def pass_over(self, what: str, reason: str, *, tell: bool = True) -> None:
        """Notes that something cannot be used, for `progress`, and logs it.

        Args:
            what: An event, a rule, a step; see `workflows.state.PassedOver`.
            reason: Without any of the contact's data.
            tell: Log it each time, instead of the first time.
        """
        now, reason = workflow.now().isoformat(timespec="seconds"), reason[:LONGEST_REASON]
        if getattr(self, "state", None) is None:  # not admitted yet
            self._unnoted.append((what, reason, now))
            count = 1
        else:
            count = self.state.pass_over(what, reason, now)
        if tell or count == 1:
            workflow.logger.warning("%s ignored: %s", what, reason)

    def note_passed_over(self) -> None:
        """Notes what was ignored before the journey was admitted."""
        for what, reason, at in self._unnoted:
            self.state.pass_over(what, reason, at)
        self._unnoted.clear()

    def leave(self, reason: str) -> None:
        """Ends the journey at once, whatever it is doing."""
        if self._leaving is None:
            self._leaving = Leave(reason)

    @property
    def interrupted(self) -> bool:
        """Whether the present step is to end here: the contact leaves, or an operator skips it."""
        return self._leaving is not None or self.skipping is not None

    def stop_if_interrupted(self) -> None:
        """Ends a step before it begins to wait.

        Its task was cancelled, but what it awaited may have come to its own end in the same moment (an activity that
        failed, a timer, a changed contact): then the cancellation is lost, and nothing would end the new wait.
        """
        if self.interrupted:
            raise asyncio.CancelledError

    @property
    def taken_in(self) -> bool:
        """Whether every event that came has been dealt with."""
        return not self._arrived and not self._dealing

    @property
    def leaving(self) -> bool:
        """Whether the journey is about to end."""
        return self._leaving is not None

    def show(self, *, always: bool = False) -> None:
        """Brings details and search attributes up to date.

        Search attributes cost the server a write each, so they follow only a wait, a hold, a pause, and their ends.
        """
        state = self.state
        workflow.set_current_details(visibility.details(state, self.plan, f"{self.version} · {self.entry.contact_id}"))
        mode = state.mode
        if always or mode in ("waiting", "held", "paused") or self._attributes.stands_out:
            self._attributes.show(self.entry, self.version, state)
