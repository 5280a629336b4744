"""The host of steps on Temporal: a journey's data, clock and record, and the state that its parts share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Unpack

from temporalio import workflow
from typing_extensions import override

from activities.interface import DECIDE, REPORT_HELD, REPORT_STEPS, CompletedSteps
from scenario.entry.entry import LARGEST, Entry, clean, is_too_large, journey_root, parse_entry, patch_contact
from scenario.errors import EntryError
from scenario.plan.plan import Plan, load_plan
from scenario.source.decoding import size_of
from scenario.steps.delivery import Send, delivery_id
from scenario.steps.host import (
    ContinueAsNew,
    Delivered,
    EvaluationRequest,
    EvaluationResult,
    Event,
    Failed,
    Host,
    Inputs,
    Leave,
    Memory,
    NotBefore,
    Outcome,
    Remarks,
    RowOverride,
    StepRecord,
)
from scenario.steps.registry import read_row
from scenario.time import unplaced, zone_of
from workflows import visibility
from workflows.limits import LONGEST_REASON
from workflows.primitives import call, tell_worker, wait
from workflows.state import Held, Migration, State

if TYPE_CHECKING:
    from datetime import tzinfo

DeliverStep: TypeAlias = Callable[[Send], Awaitable[Delivered | Failed | NotBefore]]
_TIMEZONE: Final = "contact.timezone"


class JourneyHost(Host):
    """The core of a journey, on which its steps are performed."""

    entry: Entry
    state: State
    plan: Plan

    def __init__(self, deliver: DeliverStep) -> None:
        self._deliver = deliver
        self.version = ""  # name and version, ``post-purchase@3``; empty before admission
        self.changes = 0  # number of changes of the contact in this run
        self.received: list[Event] = []  # events that no rule or step has seen yet
        self.is_matching = False  # True while an event is compared with the exit rules
        self.is_retry_ordered = False  # True if an operator has ordered a retry of the held step
        self.skipping: str | None = None  # the reason why the current step is skipped, if an operator has ordered that
        self.departure: Leave | None = None  # set when the journey is about to end
        self.is_full = False  # True if this run has received so many signals that it must continue as new
        self.must_stay = False  # True if the state is too large to be carried to another run
        self.moving: Migration | None = None  # another version, adopted once nothing of the step is in flight
        self._attributes = visibility.SearchAttributes()
        self._data: dict[str, Any] = {}
        self._zone: tzinfo = zone_of()
        self._ignored_early: list[tuple[str, str, str]] = []
        self._settled = 0
        self._history_length = 0

    def open(self, state: State, data: dict[str, Any]) -> None:
        """Take up the state, the entry, the plan, and the changed contact. Raise ScenarioError if one is unreadable."""
        self.state = state
        info = workflow.info()
        state.reset = state.reset or info.original_execution_run_id != info.run_id
        self.entry = parse_entry(data)
        self.plan = load_plan(state.plan)
        self._data = clean(self.entry, state.platform)
        self._name_version()
        patch, state.patch = state.patch, {}
        self.patch_contact(patch, is_carried=True)

    def follow(self, version: int, plan: dict[str, Any]) -> None:
        self.state.version, self.state.plan = version, plan
        self.plan = load_plan(plan)
        self._name_version()
        self.patch_contact({})  # the scenario may have moved to another zone

    def _name_version(self) -> None:
        state = self.state
        self.version = f"{self.entry.name}@{state.version}"
        identifier = workflow.info().workflow_id
        self._data["journey"] = journey_root(identifier, self.entry.name, state.version, state.entered_at)

    def uses(self, event: str) -> bool:
        """Return True if the version, or the one to which the journey is about to move, uses an event of this name."""
        return event in self.plan.events or (self.moving is not None and event in load_plan(self.moving.plan).events)

    # ---- the contact

    def patch_contact(self, patch: dict[str, Any], *, is_carried: bool = False) -> bool:
        """Apply changed fields of the contact. Return False if they cannot be applied.

        Args:
            patch: The fields; an empty patch only computes the time zone again.
            is_carried: True for all changes of the run before, which has checked their size.
        """
        if patch:
            platform = self.state.platform
            try:
                # Kept normalised: raw patches of the same field may have different shapes and could not be merged.
                merged = patch_contact(self.state.patch, patch, platform)
                contact = patch_contact(self._data["contact"], patch, platform)
            except EntryError as error:
                self.ignore_input("contact_changed", str(error))
                return False
            if not is_carried and self._outgrows(contact):
                self.ignore_input("contact_changed", f"the contact would be larger than {LARGEST // 1024} KB")
                return False
            self._data["contact"], self.state.patch = contact, merged
        self._locate(is_new="timezone" in patch and not is_carried)
        return True

    def _locate(self, *, is_new: bool) -> None:
        """Compute the contact's zone. Report a zone that cannot be used once, and each new one."""
        own = self._data["contact"].get("timezone")
        self._zone = zone_of(own, self.plan.zone)
        reason = unplaced(own, self.plan.zone)
        if reason and (is_new or all(one.what != _TIMEZONE for one in self.state.ignored)):
            self.ignore_input(_TIMEZONE, reason)

    def _outgrows(self, contact: dict[str, Any]) -> bool:
        """Return True if a contact has grown beyond the limit. One that was too large at entry may still change."""
        return is_too_large(contact, LARGEST) and is_too_large(contact, size_of(self._data["contact"]))

    # ---- the interface of steps

    @property
    @override
    def step(self) -> str:
        return self.state.at or ""

    @property
    @override
    def began(self) -> datetime:
        return datetime.fromisoformat(self.state.since) if self.state.since else workflow.now()

    @property
    @override
    def zone(self) -> tzinfo:
        return self._zone

    @property
    @override
    def memory(self) -> Memory:
        return self.state.memory

    @property
    @override
    def inputs(self) -> Inputs:
        state = self.state
        return Inputs(self.changes, state.events, state.event_count, state.paused is not None, state.send_now)

    @property
    @override
    def must_continue(self) -> bool:
        if self.moving is not None:
            return True
        return not self.must_stay and (self.is_full or workflow.info().is_continue_as_new_suggested())

    @property
    @override
    def row_override(self) -> RowOverride | None:
        other = self.state.override
        return None if other is None else RowOverride(read_row(other.step), self.followed)

    @override
    def now(self) -> datetime:
        return workflow.now()

    @override
    def data(self) -> dict[str, Any]:
        journey = {**self._data["journey"], "timezone": str(self._zone)}
        data = {**self._data, "journey": journey, "responses": self.memory.responses}
        if self.memory.event is not None:
            data["event"] = self.memory.event
        return data

    @override
    async def answer(self, question: EvaluationRequest) -> EvaluationResult:
        # Named by its step: a condition may be long, and may quote what only its author should see.
        return await call(DECIDE, question, about=self.step)

    @override
    async def wait(self, until: datetime | None, what: str, wake: Callable[[], bool]) -> bool:
        self.stop_if_interrupted()
        self.show()
        limit = None if until is None else until - workflow.now()
        woke = await wait(lambda: wake() or self.must_continue, limit, what)
        # An event received before the end of the wait counts, whichever task of the journey resumes first.
        if not self.has_matched_events:
            await workflow.wait_condition(lambda: self.has_matched_events)
        return woke

    @override
    def ignore(self, what: str, reason: str) -> None:
        self.ignore_input(what, reason, log_repeats=False)

    @override
    async def deliver(self, row: Send) -> Delivered | Failed | NotBefore:
        return await self._deliver(row)

    @override
    def hold(self, failed: Failed) -> None:
        state = self.state
        state.hold = workflow.uuid4().hex
        state.held = Held(**failed.held(self.step, workflow.now()))
        self.memory.stop_waiting()
        state.forget_attempts()
        self.is_retry_ordered = False
        fields = {"step": self.step, "kind": failed.kind, "status": failed.status, "cause": failed.cause}
        workflow.logger.warning("held", extra=fields)
        visibility.remember(state.held)
        self.show()

    @override
    async def decided(self) -> Outcome | None:
        held = self.state.held
        if held is None:
            return None
        self.stop_if_interrupted()
        self.show()
        report = held.report(self.state.hold, workflow.info().workflow_id, self.entry.contact_id, self.version)
        await call(REPORT_HELD, report, about=self.step)  # a later run repeats it, with the same id
        await workflow.wait_condition(lambda: self.is_retry_ordered or self.must_continue)
        if not self.is_retry_ordered:
            return ContinueAsNew()
        self.is_retry_ordered = False
        self.state.held, self.state.retried = None, True
        self.show()
        return None

    @override
    def record(self, outcome: str, reason: str | None = None, **more: Unpack[Remarks]) -> None:
        state, name = self.state, self.step
        state.held = None
        self.is_retry_ordered = False
        if not self.revisable:
            self._history_length = workflow.info().get_current_history_length()
            self._settled = state.steps_completed
        more["attempts"] = more.get("attempts") or None
        more["note"] = "; ".join(filter(None, (*self.memory.deferrals, more.get("note")))) or None
        at = workflow.now().isoformat(timespec="seconds")
        kind = self.plan.steps[name].kind
        state.record(StepRecord(id=name, kind=kind, outcome=outcome, at=at, reason=reason, **more))
        tell_worker(REPORT_STEPS, self.completed_steps)

    # ---- for the other parts of the journey

    @property
    def followed(self) -> str:
        """Name and version of the scenario that the current step is rendered from."""
        other = self.state.override
        return self.version if other is None else f"{self.entry.name}@{other.version}"

    @property
    def delivery_id(self) -> str:
        """The id of the current step's delivery."""
        state, name = self.state, self.step
        if state.delivery:
            return state.delivery
        return delivery_id(
            workflow.info().workflow_id, state.campaign_root or state.root, name, state.visits.get(name, 0)
        )

    @property
    def revisable(self) -> int:
        """Number of steps completed in this workflow task, which the server may refuse and repeat."""
        is_same = workflow.info().get_current_history_length() == self._history_length
        return max(self.state.steps_completed - self._settled, 0) if is_same else 0

    @property
    def completed_steps(self) -> CompletedSteps:
        """The completed steps that this journey has not counted yet."""
        state = self.state
        return CompletedSteps(
            workflow_id=workflow.info().workflow_id,
            run_id=state.root,
            first=state.steps_counted,
            passed=[*state.steps_uncounted],
            revisable=self.revisable,
            now=workflow.now().isoformat(),
        )

    @property
    def has_matched_events(self) -> bool:
        """True if every event received so far has been compared with the exit rules."""
        return not self.received and not self.is_matching

    @property
    def is_interrupted(self) -> bool:
        """True if the current step must stop, because the contact leaves or an operator skips the step."""
        return self.departure is not None or self.skipping is not None

    def stop_if_interrupted(self) -> None:
        """Cancel a step before it begins another wait.

        The step's task was cancelled, but the awaited activity or timer may have ended at the same moment. The
        cancellation is then lost, and nothing would end the new wait.
        """
        if self.is_interrupted:
            raise asyncio.CancelledError

    def leave(self, reason: str) -> None:
        """End the journey immediately. The first reason wins."""
        if self.departure is None:
            self.departure = Leave(reason)

    def local(self, moment: datetime) -> str:
        """Return a moment in the contact's time zone, ISO 8601."""
        return moment.astimezone(self._zone).isoformat(timespec="seconds")

    def ignore_input(self, what: str, reason: str, *, log_repeats: bool = True) -> None:
        """Record for `progress` that an input cannot be used, and log it.

        Args:
            what: An event, a rule, a step; see `workflows.state.IgnoredInput`.
            log_repeats: Log each occurrence, instead of the first.
        """
        now, reason = workflow.now().isoformat(timespec="seconds"), reason[:LONGEST_REASON]
        if hasattr(self, "state"):
            count = self.state.ignore(what, reason, now)
        else:  # not admitted yet
            self._ignored_early.append((what, reason, now))
            count = 1
        if log_repeats or count == 1:
            workflow.logger.warning("%s ignored: %s", what, reason)

    def record_early_inputs(self) -> None:
        """Record the inputs that were ignored before admission."""
        for what, reason, at in self._ignored_early:
            self.state.ignore(what, reason, at)
        self._ignored_early.clear()

    def show(self, *, always: bool = False) -> None:
        """Update the details and search attributes that Temporal's UI shows.

        A search attribute costs the server a write. They are updated only for waits, delayed deliveries, holds and
        pauses, and for the end of what stands out.
        """
        state = self.state
        workflow.set_current_details(visibility.details(state, self.plan, f"{self.version} · {self.entry.contact_id}"))
        if always or state.mode != "running" or self._attributes.stands_out:
            self._attributes.show(self.entry, self.version, state)
