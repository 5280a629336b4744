"""The journey: one contact's run through one version of a scenario, as a workflow.

It is a loop over "where am I": perform the step at this position, go to the next. Around that loop stand the ways in
which the outside reaches a journey: signals (`event`, `contact_changed`), operators' updates (in
`workflows.operations`) and the query `progress`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from workflows import view
from workflows.events import Intake
from workflows.operations import Operations
from workflows.state import Held, State
from workflows.steps import Again, Course, Leave, Next, perform, record_of, skipped_to

with workflow.unsafe.imports_passed_through():
    from activities.failures import Failure
    from activities.signatures import ADMIT, DECIDE, DEPART, Admission, Admitted, Answer, Departure, Question
    from scenario.entry import Entry, clean, is_entry, is_too_deep, parse_entry, patch_contact
    from scenario.errors import EntryError, ScenarioError
    from scenario.plan import Plan, Step, load_plan
    from scenario.timing import zone_of

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

_LOCAL = timedelta(seconds=10)
"""What one try of a local activity may take; it is tried until it succeeds."""
_PATIENCE = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30))


@workflow.defn(name="Journey", failure_exception_types=[ScenarioError])
class Journey(Operations, Intake):
    """One contact through one scenario.

    The argument is an entry, in plain JSON: see the contract in `docs/architecture.md`. The result is
    ``{"outcome", "reason", "version", "steps"}``.
    """

    entry: Entry
    state: State
    plan: Plan
    version: str = ""

    def __init__(self) -> None:
        Operations.__init__(self)
        Intake.__init__(self)
        self.changes = 0
        self._attributes = view.Attributes()
        self._data: dict[str, Any] = {}
        self._zone: ZoneInfo = zone_of()
        self._leaving: Leave | None = None

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> dict[str, Any]:
        """Runs the journey from its entry, or from where continue-as-new left it.

        Raises:
            ApplicationError: The argument is no entry at all.
        """
        carried: dict[str, Any] | None = argument if workflow.info().continued_run_id else None
        data: Any = carried["entry"] if carried else argument
        if not is_entry(data):
            raise ApplicationError(
                "The argument of a Journey must be one JSON object with 'scenario', 'contact' and 'trigger'",
                type="NotAnEntry",
                non_retryable=True,
            )
        if carried:
            self.state = State.load(carried["state"])
        elif refused := await self._admit(data):
            return {"outcome": "refused", "reason": refused, "version": None, "steps": []}
        self._open(data)
        intake = asyncio.create_task(self.take_in())
        try:
            outcome, reason = await self._follow(data)
        except asyncio.CancelledError:
            await self._depart("exited", "cancelled")
            raise
        finally:
            intake.cancel()
        await self._depart(outcome, reason)
        return {
            "outcome": outcome,
            "reason": reason,
            "version": self.version,
            "steps": [record.as_dict() for record in self.state.steps],
        }

    # ---- the course of a journey

    async def _admit(self, data: dict[str, Any]) -> str:
        """Asks to come in. Returns why not, or an empty text."""
        if is_too_deep(data):  # not even the admission could be asked
            return "the entry is nested too deeply"
        info = workflow.info()
        root = info.first_execution_run_id
        started = info.start_time.astimezone(UTC).isoformat()
        admission = Admission(entry=data, workflow_id=info.workflow_id, run_id=root, now=started)
        admitted: Admitted = await workflow.execute_local_activity(
            ADMIT.name,
            admission,
            result_type=ADMIT.result,
            start_to_close_timeout=_LOCAL,
            retry_policy=_PATIENCE,
        )
        if admitted.refused:
            return admitted.refused
        self.state = State(
            version=admitted.version, plan=admitted.plan, zone=admitted.zone, entered_at=started, root=root
        )
        self.state.at = load_plan(admitted.plan).start
        return ""

    def _open(self, data: dict[str, Any]) -> None:
        """Reads what was carried here: entry, plan, and the contact with its changes."""
        self.entry = parse_entry(data)
        self.plan = load_plan(self.state.plan)
        self.version = f"{self.entry.name}@{self.state.version}"
        self._data = clean(self.entry, zone_of(self.state.zone))
        self._data["journey"] = {
            "id": workflow.info().workflow_id,
            "scenario": self.entry.name,
            "version": self.state.version,
            "entered_at": self.state.entered_at,
        }
        self._data["responses"] = {}
        patch, self.state.patch = self.state.patch, {}
        self._refresh(patch)

    async def _follow(self, data: dict[str, Any]) -> tuple[str, str]:
        """Performs step after step. Returns how it ended and why."""
        while self.state.at is not None:
            name = self.state.at
            step = self.plan.steps[name]
            course = await self._pause() or await self._interruptible(name, step)
            match course:
                case Next():
                    self._go(course.step)
                    if course.step is not None and self.must_continue:
                        await self._continue_as_new(data)
                case Leave():
                    return "exited", course.reason
                case Again():
                    await self._continue_as_new(data)
        self.show()
        return "finished", ""

    async def _interruptible(self, name: str, step: Step) -> Course:
        """Performs a step, unless or until the contact leaves or an operator skips it."""
        # An event that has just come may end the journey: nothing is sent before that is known.
        await workflow.wait_condition(lambda: self.taken_in)
        if not self.interrupted:
            if self.state.since is None:
                self.state.since = workflow.now().isoformat()
                self.state.mark = self.state.counted
            self.show()
            work = asyncio.create_task(perform(self, name, step))
            try:
                await workflow.wait_condition(
                    lambda: work.done() or self._leaving is not None or self.skipping is not None
                )
            finally:
                if not work.done():
                    work.cancel()
            if work.done() and not work.cancelled():
                self.skipping = None  # an order to skip this step came too late, and must not skip the next
                return work.result()
            await workflow.wait([work])
            # A cancelled activity ends in an error, which is expected here. What ended by itself in the same moment
            # has its outcome on record, and is not left or skipped as well.
            if not work.cancelled() and work.exception() is None:
                self.skipping = None
                return self._leaving or work.result()
        if self._leaving is not None:
            self.record(name, step, "left", self._leaving.reason)
            return self._leaving
        reason, self.skipping = self.skipping, None
        self.record(name, step, "skipped", reason)
        return Next(skipped_to(step))

    async def _pause(self) -> Course | None:
        """Stays here while an operator has paused the journey."""
        if self.state.paused:
            self.show(always=True)
            await workflow.wait_condition(
                lambda: not self.state.paused or self._leaving is not None or (self.must_continue and self._undecided)
            )
            if self.state.paused and self._leaving is None:
                return Again()
        return None

    def _go(self, step: str | None) -> None:
        state = self.state
        state.at, state.since, state.until, state.awaiting, state.held = step, None, None, None, None
        if step is not None and any(record.id == step for record in state.steps):
            state.visits[step] = state.visits.get(step, 0) + 1

    async def _continue_as_new(self, data: dict[str, Any]) -> None:
        """Starts the next run, unless somebody has just decided something: that is acted upon first."""
        await workflow.wait_condition(lambda: self.taken_in and workflow.all_handlers_finished())
        if self._undecided:
            workflow.continue_as_new({"entry": data, "state": self.state.dump()})

    @property
    def _undecided(self) -> bool:
        """Whether nothing was decided that this run has yet to act upon: orders do not go along to the next."""
        return not self.interrupted and not self.retrying

    async def _depart(self, outcome: str, reason: str) -> None:
        departure = Departure(
            workflow_id=workflow.info().workflow_id,
            run_id=self.state.root,
            outcome=outcome,
            reason=reason,
            now=workflow.now().isoformat(),
        )
        await workflow.execute_local_activity(
            DEPART.name, departure, start_to_close_timeout=_LOCAL, retry_policy=_PATIENCE
        )

    # ---- what steps use

    @property
    def zone(self) -> ZoneInfo:
        """The contact's time zone: its own, else the scenario's."""
        return self._zone

    @property
    def began(self) -> datetime:
        """When the step at this position began."""
        return datetime.fromisoformat(self.state.since) if self.state.since else workflow.now()

    @property
    def must_continue(self) -> bool:
        """Whether the history has grown so long that the server suggests continue-as-new."""
        return workflow.info().is_continue_as_new_suggested()

    def local(self, moment: datetime) -> str:
        """A moment on the contact's clock, ISO 8601."""
        return moment.astimezone(self._zone).isoformat(timespec="seconds")

    def data(self) -> dict[str, Any]:
        """The journey's data by root name, as templates and conditions see it."""
        if self.state.event is not None:
            return {**self._data, "event": self.state.event}
        return self._data

    async def ask(self, condition: str, event: dict[str, Any] | None = None) -> Answer:
        """Works out a condition."""
        return await self._question(condition, "condition", event)

    async def value(self, template: str) -> Any:
        """Works out a template's value.

        Raises:
            EntryError: It cannot be.
        """
        answer = await self._question(template, "value", None)
        if answer.error:
            raise EntryError(f"the date cannot be worked out: {answer.error}")
        return answer.value

    async def _question(self, text: str, kind: Any, event: dict[str, Any] | None) -> Answer:
        now = self.local(workflow.now())
        data = {**self.data(), "now": now, "today": now[:10]}
        if event is not None:
            data["event"] = event
        return await workflow.execute_local_activity(
            DECIDE.name,
            Question(text=text, data=data, kind=kind),
            result_type=DECIDE.result,
            start_to_close_timeout=_LOCAL,
            retry_policy=_PATIENCE,
        )

    async def sleep(self, until: datetime | None, what: str, wake: Callable[[], bool]) -> bool:
        """Waits until a moment (None: for ever), or until `wake` or a needed continue-as-new; tells whether it woke."""
        self._stop_if_interrupted()
        self.show()
        timeout = None if until is None else max(until - workflow.now(), timedelta(0))
        try:
            await workflow.wait_condition(lambda: wake() or self.must_continue, timeout=timeout, timeout_summary=what)
        except TimeoutError:
            return False
        return True

    def record(
        self,
        name: str,
        step: Step,
        outcome: str,
        reason: str | None = None,
        status: int | None = None,
        attempts: int | None = None,
    ) -> None:
        """Notes how a step went."""
        self.state.held = None
        self.retrying = False
        self.state.steps.append(record_of(name, step.kind, outcome, reason, status, attempts))

    def hold(self, name: str, failure: Failure) -> None:
        """Stops at a step that failed for good, until a person decides."""
        self.state.held = Held(
            step=name,
            kind=failure.kind.value,
            reason=failure.reason,
            at=workflow.now().isoformat(timespec="seconds"),
            destination=failure.destination,
            status=failure.status,
            attempts=failure.attempt,
            excerpt=failure.excerpt,
        )
        self.state.until = self.state.awaiting = None
        self.retrying = False
        workflow.logger.warning("held", extra={"step": name, "kind": failure.kind.value, "status": failure.status})
        self.show()

    async def decision(self) -> Course | None:
        """Waits for an operator. Returns None where the step is to be tried again."""
        self._stop_if_interrupted()
        self.show()
        await workflow.wait_condition(lambda: self.retrying or self.must_continue)
        if not self.retrying:
            return Again()
        self.retrying = False
        self.state.held = None
        self.show()
        return None

    def leave(self, reason: str) -> None:
        """Ends the journey at once, whatever it is doing."""
        if self._leaving is None:
            self._leaving = Leave(reason)

    @property
    def interrupted(self) -> bool:
        """Whether the present step is to end here: the contact leaves, or an operator skips it."""
        return self._leaving is not None or self.skipping is not None

    def _stop_if_interrupted(self) -> None:
        """Ends a step before it begins to wait.

        Its task was cancelled, but what it awaited may have come to its own end in the same moment (an activity that
        failed, a timer, a changed contact): then the cancellation is lost, and nothing would end the new wait.
        """
        if self.interrupted:
            raise asyncio.CancelledError

    @property
    def leaving(self) -> bool:
        """Whether the journey is about to end."""
        return self._leaving is not None

    # ---- what others see

    def show(self, *, always: bool = False) -> None:
        """Brings details and search attributes up to date.

        Search attributes cost the server a write each, so they follow only a wait, a hold, a pause, and their ends.
        """
        state = self.state
        workflow.set_current_details(view.details(state, self.plan, f"{self.version} · {self.entry.contact_id}"))
        mode = state.mode
        if always or mode in ("waiting", "held", "paused") or self._attributes.stands_out:
            self._attributes.show(
                scenario=self.entry.name,
                contact=self.entry.contact_id,
                version=self.version,
                step=state.at or "",
                state=mode,
            )

    @workflow.query(name="progress", description="Where the journey is, what it did, and why it waits.")
    def progress(self) -> dict[str, Any]:
        """Where the journey is; see `docs/architecture.md` for the fields."""
        return self.report()

    @workflow.signal(name="contact_changed", description="Fields of the contact that have changed.")
    def contact_changed(self, patch: Any = None, *_: Any) -> None:
        """Takes over changed fields of the contact; waits are worked out anew."""
        if not isinstance(patch, dict):
            workflow.logger.warning("contact_changed ignored: its argument must be one JSON object")
            return
        self.patches.append(cast("dict[str, Any]", patch))
        self.apply_patches()

    def apply_patches(self) -> None:
        """Applies changes of the contact; those that came before the journey was admitted wait until then."""
        if not self._data:
            return
        for patch in self.patches:
            if self._refresh(patch):
                self.changes += 1
        self.patches.clear()

    def _refresh(self, patch: dict[str, Any]) -> bool:
        if patch:
            zone = zone_of(self.state.zone)
            try:
                # Kept clean: as they come, two changes need not be alike, and could not be laid over each other.
                kept = patch_contact(self.state.patch, patch, zone)
                self._data["contact"] = patch_contact(self._data["contact"], patch, zone)
            except EntryError as error:
                workflow.logger.warning("contact_changed ignored: %s", error)
                return False
            self.state.patch = kept
        self._zone = zone_of(self._data["contact"].get("timezone"), self.plan.zone)
        return True
