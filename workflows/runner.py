"""Runs a journey: one contact's run through one version of a scenario.

The run is a loop over the current step: perform it, go to the next. `JourneyRunner` connects the parts of a journey:

- `workflows.host.JourneyHost`: the state, and the interface that steps are performed on
- `workflows.delivery.DeliveryRunner`: sends the messages of steps
- `workflows.inbox.SignalInbox`: signals
- `workflows.updates.OperatorUpdates`: updates and progress
- `workflows.migrations.Migrations`: other versions of the scenario
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.exceptions import FailureError

from activities.interface import ADMIT, COUNT, DEPART, REPORT_STEPS, WITHDRAW_STEPS, Admission, Departure
from scenario.entry.entry import is_entry, is_too_large, parse_entry
from scenario.plan.plan import load_plan, restore
from scenario.steps.base import Row
from scenario.steps.delivery import Send
from scenario.steps.host import ContinueAsNew, Leave, Next, Outcome
from scenario.steps.registry import is_delivery
from workflows.delivery import DeliveryRunner
from workflows.host import JourneyHost
from workflows.inbox import SignalInbox
from workflows.limits import KEPT_STEPS, LARGEST_CARRIED, is_object, too_large
from workflows.migrations import Migrations
from workflows.primitives import AN_ENTRY, TRIES, bad_argument, call, is_cancellation, tell_worker
from workflows.state import State
from workflows.updates import OperatorUpdates
from workflows.visibility import remember

HISTORY_USED: Final = "scenario_history_used"
"""Name of the histogram of the share of its history's limits that a run has used."""
HISTORY_SHARES: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
_MOST_EVENTS: Final = 51_200
_MOST_BYTES: Final = 50 * 1024 * 1024
_MOMENT: Final = timedelta(milliseconds=1)


class JourneyRunner:
    """Runs a journey from its entry, or from the state that the previous run carried on.

    Args:
        argument: That of the workflow.
        carried: The entry and the state to begin with, instead.

    Raises:
        ScenarioError: The carried state cannot be read.
    """

    def __init__(self, argument: Any, *, carried: dict[str, Any] | None = None) -> None:
        self.host = JourneyHost(lambda row: self._deliveries.deliver(row))
        self._deliveries = DeliveryRunner(self.host)
        self._migrations = Migrations(self.host, self._deliveries)
        self.inbox = SignalInbox(self.host, self._deliveries)
        self.updates = OperatorUpdates(self.host, self._deliveries, self._migrations)
        self._carried = carried or _carried(argument)
        self._campaign = _campaign_of(argument)
        if self._carried and is_entry(self._carried["entry"]):
            self.host.open(State.load(self._carried["state"]), self._carried["entry"])

    @property
    def is_begun(self) -> bool:
        """True if it has a state from the start, without an admission."""
        return self._carried is not None

    async def run(self, argument: Any) -> dict[str, Any]:
        """Run the journey to its end. Return ``{"outcome", "reason", "version", "steps"}``.

        Raise ApplicationError if the argument is not an entry.
        """
        wrapped: Any = self._carried or (argument if self._campaign else None)
        data: Any = argument if wrapped is None else wrapped["entry"]
        if not is_entry(data):
            raise bad_argument("a Journey", AN_ENTRY, "NotAnEntry")
        if not self._carried:
            ended = await self._admit(data)
            if ended is not None:
                self.updates.outcome = ended["outcome"]
            # Updates received before admission take effect first: a paused journey starts no step.
            if self.updates.pending:
                await workflow.wait_condition(lambda: not self.updates.pending)
            if ended is not None:
                return ended
        outcome, reason = await self._run_steps(data)
        await self._depart(outcome, reason)
        return {
            "outcome": outcome,
            "reason": reason,
            "version": self.host.version,
            "steps": [record.as_dict() for record in self.host.state.steps],
        }

    async def _admit(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """Request admission. Return the result of a journey that ends here: refused, or in a control group."""
        if reason := too_large(data):  # the argument of the admission could not be written
            return _ended("refused", reason)
        info = workflow.info()
        root, campaign = info.first_execution_run_id, self._campaign or {}
        begun: dict[str, Any] = campaign.get("state") or {}
        started = str(begun.get("entered_at") or info.start_time.astimezone(UTC).isoformat())
        admission = Admission(
            entry=data, workflow_id=info.workflow_id, run_id=root, now=started, root=campaign.get("root", "")
        )
        admitted = await call(ADMIT, admission)
        if admitted.refused:
            return _ended("refused", admitted.refused)
        if admitted.outcome:
            if self.host.received:  # the goal of a control group is measured too
                departure = Departure(
                    workflow_id=info.workflow_id,
                    run_id=root,
                    outcome=admitted.outcome,
                    reason=admitted.reason,
                    now=started,
                    events=self.host.received,
                )
                await call(DEPART, departure, about=admitted.outcome)
            return _ended(admitted.outcome, admitted.reason, f"{parse_entry(data).name}@{admitted.version}")
        plan = restore(admitted.plan)
        state = State(version=admitted.version, plan=plan, zone=admitted.zone, entered_at=started, root=root)
        state.dates = admitted.dates
        state.campaign_root = admission.root
        state.at = load_plan(plan).start
        state = state.continue_from(begun) if begun else state
        self.host.open(state, data)
        if begun:
            tell_worker(REPORT_STEPS, self.host.completed_steps)
        if state.held:
            remember(state.held)
        return None

    async def _run_steps(self, data: dict[str, Any]) -> tuple[str, str]:
        """Perform the steps while signals are processed. Return the outcome and the reason."""
        inbox = asyncio.create_task(self.inbox.process())
        goal = asyncio.create_task(self.inbox.measure_goal()) if self.host.plan.goal else None
        if goal is not None:  # its failure does not end the journey: the departure reports the remaining events
            goal.add_done_callback(_retrieve)
        journey = asyncio.current_task()

        def end_journey(ended: asyncio.Task[None]) -> None:
            if journey is not None and _error_of(ended):
                journey.cancel()

        inbox.add_done_callback(end_journey)
        try:
            outcome, reason = await self._follow(data)
            if self._may_end_otherwise:
                # The server may refuse the workflow task that closes the journey. If that were this task, it would be
                # repeated with new signals: the journey might continue, while the store considers it over.
                self.host.leave(reason)  # refuses further updates
                await workflow.sleep(_MOMENT, summary="before the departure")
        except asyncio.CancelledError:
            if error := _error_of(inbox):
                raise error from None
            await self._depart("exited", "cancelled")
            raise
        finally:
            # An activity that it awaits ends in an error then, which is expected and not the journey's.
            inbox.remove_done_callback(end_journey)
            inbox.add_done_callback(_retrieve)
            inbox.cancel()
            if goal is not None:
                goal.cancel()
        return outcome, reason

    async def _follow(self, data: dict[str, Any]) -> tuple[str, str]:
        """Perform step after step. Return the outcome and the reason."""
        host = self.host
        while host.state.at is not None:
            while host.moving is not None:
                await self._migrations.move()
            step = host.plan.steps[host.state.at]
            outcome = await self._pause() or await self._perform(step)
            match outcome:
                case Next():
                    following = await self._migrations.advance(outcome)
                    _measure_history()
                    if following is not None and host.must_continue:
                        await self._continue_as_new(data)
                case Leave():
                    return "exited", outcome.reason
                case ContinueAsNew():
                    await self._continue_as_new(data)
        host.show()
        return "finished", ""

    async def _perform(self, step: Row) -> Outcome:
        """Perform a step, unless or until the contact leaves or an operator skips it."""
        host, state = self.host, self.host.state
        # A new event may end the journey: nothing is sent before the exit rules have been evaluated.
        await workflow.wait_condition(lambda: host.has_matched_events)
        if not host.is_interrupted:
            if state.since is None:
                state.since = workflow.now().isoformat()
                host.memory.mark = state.event_count
            host.show()
            work = asyncio.create_task(step.perform(host))
            try:
                await workflow.wait_condition(lambda: work.done() or host.is_interrupted)
            finally:
                if not work.done():
                    work.add_done_callback(_retrieve)
                    work.cancel()
            if work.done() and not work.cancelled():
                return self._completed(work.result())
            await workflow.wait([work])
            # A cancelled activity ends in an error, which is expected here. A step that ended at the same moment has
            # recorded its outcome, and is not left or skipped as well.
            if not work.cancelled() and work.exception() is None:
                return host.departure or self._completed(work.result())
        if host.departure is not None:
            host.record("left", host.departure.reason)
            return host.departure
        reason, host.skipping = host.skipping, None
        if isinstance(step, Send):
            await self._deliveries.release()
        return step.skip(host, reason)

    def _completed(self, outcome: Outcome) -> Outcome:
        """Return the outcome. If the step has ended, drop a skip that came too late, which must not skip the next."""
        if self.host.moving is None or not isinstance(outcome, ContinueAsNew):
            self.host.skipping = None
        return outcome

    async def _pause(self) -> Outcome | None:
        """Wait while an operator has paused the journey."""
        host = self.host
        if host.state.paused:
            host.show(always=True)
            await workflow.wait_condition(
                lambda: (
                    not host.state.paused
                    or host.departure is not None
                    or (host.must_continue and not self._has_decision)
                )
            )
            if host.state.paused and host.departure is None:
                return ContinueAsNew()
        return None

    # ---- the end of a run

    async def _continue_as_new(self, data: dict[str, Any]) -> None:
        """Start the next run, unless a migration or a decision is pending: this run executes it first."""
        host = self.host
        if host.moving is None and not self._has_decision:
            await self._count_steps()
        if host.moving is None:
            await workflow.wait_condition(lambda: host.has_matched_events and workflow.all_handlers_finished())
        if host.moving is None and not self._has_decision:
            carried = {"entry": data, "state": host.state.dump()}
            if not is_too_large(carried, LARGEST_CARRIED):
                workflow.continue_as_new(carried)
            # The command would be refused, and the workflow task would fail over and over.
            workflow.logger.warning("the state of the journey is too large for another run: this run continues")
            host.must_stay = True

    async def _count_steps(self) -> None:
        """Report completed steps to the store, so that the next run need not carry them.

        If the store does not respond, the latest are carried and the journey continues.
        """
        state = self.host.state
        if not state.steps_uncounted:
            return
        passages = self.host.completed_steps
        tell_worker(WITHDRAW_STEPS, passages)
        number = len(passages.passed)
        try:
            await call(COUNT, passages, about=str(number), tries=TRIES)
        except FailureError as error:
            if is_cancellation(error):
                raise asyncio.CancelledError from error
            state.mark_counted(max(number - KEPT_STEPS, 0))
        else:
            state.mark_counted(number)

    @property
    def _has_decision(self) -> bool:
        """True if this run must still execute an update: pending updates are not carried to the next run."""
        return self.host.is_interrupted or self.host.is_retry_ordered

    @property
    def _may_end_otherwise(self) -> bool:
        """True if this workflow task decided more than an attempt's result. Repeated, it may decide otherwise."""
        host, number = self.host, self.host.revisable
        if host.departure is not None:
            return number > 0 and any(rule.condition for rule in host.plan.exit)
        return any(not is_delivery(record.kind) for record in host.state.steps[len(host.state.steps) - number :])

    async def _depart(self, outcome: str, reason: str) -> None:
        host, state = self.host, self.host.state
        tell_worker(WITHDRAW_STEPS, host.completed_steps)
        departure = Departure(
            workflow_id=workflow.info().workflow_id,
            run_id=state.root,
            outcome=outcome,
            reason=reason or self._failed_deliveries(),
            now=workflow.now().isoformat(),
            delivery=self._deliveries.scheduled_id,
            arrived=self._deliveries.delivered if host.departure is not None and host.revisable else "",
            events=self.inbox.unmeasured or None,
            passed=state.steps_uncounted or None,
            first=state.steps_counted,
            revisable=host.revisable,
            withdraws_since=state.entered_at if self._withdraws(outcome) else "",
        )
        await call(DEPART, departure)
        if not workflow.all_handlers_finished():  # an update that came too late is refused, not left without a response
            await workflow.wait_condition(workflow.all_handlers_finished)

    def _withdraws(self, outcome: str) -> bool:
        """Return True if the contact leaves batches that are not sent yet: its exit was not a step of the scenario."""
        host = self.host
        is_own = bool(host.state.steps) and host.state.steps[-1].outcome == "exited"
        batched = any(isinstance(row, Send) and row.batch is not None for row in host.plan.steps.values())
        return outcome == "exited" and batched and not is_own

    def _failed_deliveries(self) -> str:
        """Return how many deliveries failed. Lists of journeys show it, the workflow's result does not."""
        outcomes = [record.outcome for record in self.host.state.steps if is_delivery(record.kind)]
        failed = sum(outcome in ("failed", "unknown") for outcome in outcomes)
        return f"{failed} of {len(outcomes)} deliveries failed" if failed else ""


def _ended(outcome: str, reason: str, version: str | None = None) -> dict[str, Any]:
    """Return the result of a journey without steps."""
    return {"outcome": outcome, "reason": reason, "version": version, "steps": []}


def _carried(argument: Any) -> dict[str, Any] | None:
    """Return the entry and state that the previous run carried on, or None if this run begins a journey.

    A cron schedule or a workflow's retry policy also starts a run that follows another, but with the argument of the
    first run. There, a state is accepted only if this worker can read all of it. Otherwise a state that a newer worker
    wrote fails the workflow task, which then waits for such a worker.
    """
    info = workflow.info()
    if not info.continued_run_id or not is_object(argument) or argument.keys() != {"entry", "state"}:
        return None
    is_known = State.is_readable if info.cron_schedule or info.retry_policy else State.is_dumped
    return argument if is_known(argument["state"]) else None


def _campaign_of(argument: Any) -> dict[str, Any] | None:
    """Return the root and the state that a campaign gave to its journey, or None if no campaign started it.

    Whoever starts workflows may give any. A root decides only about the ids of the journey's own deliveries, and is
    admitted once. A state sets the place in the plan that the admission returns.
    """
    if not is_object(argument) or argument.keys() != {"entry", "campaign"} or not is_object(argument["campaign"]):
        return None
    root, state = argument["campaign"].get("root"), argument["campaign"].get("state")
    is_whole = isinstance(root, str) and (state is None or (is_object(state) and _is_moment(state.get("entered_at"))))
    return {"root": root, "state": state} if is_whole else None


def _is_moment(text: object) -> bool:
    try:
        return isinstance(text, str) and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Retrieve the exception of a task that nothing awaits, which asyncio would otherwise log."""
    if not task.cancelled():
        task.exception()


def _measure_history() -> None:
    """Record which share of a limit of histories this run has used. A replay records nothing."""
    info = workflow.info()
    used = max(info.get_current_history_length() / _MOST_EVENTS, info.get_current_history_size() / _MOST_BYTES)
    workflow.metric_meter().create_histogram_float(HISTORY_USED, "share of a history's limits").record(used)
