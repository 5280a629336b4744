"""The course of a journey: one contact's run through one version of a scenario.

It is a loop over "where am I": perform the step at this position, go to the next. Around that loop stand the ways in
which the outside reaches a journey: signals (in `workflows.signals`), operators' updates and the query `progress` (in
`workflows.updates`). How it goes on in another version is in `workflows.migrating`; what the steps themselves use is in
`workflows.host`. What Temporal sees of it is in `workflows.journey`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from typing import Any, Final, cast

from temporalio import workflow
from temporalio.exceptions import ApplicationError, CancelledError, FailureError

from activities.counting import COUNT, Passages
from activities.interface import ADMIT, DEPART, Admission, Departure
from scenario.entry.entry import clean, is_entry, is_too_deep, is_too_large, parse_entry
from scenario.plan.brief import restore
from scenario.plan.plan import load_plan
from scenario.steps.base import Row
from scenario.steps.delivery import Send
from scenario.steps.host import ContinueAsNew, Leave, Next, Outcome
from scenario.steps.registry import is_delivery
from scenario.time.timing import zone_of
from workflows.history import measure_history
from workflows.limits import LARGEST_CARRIED, TOO_MANY_PARTS, has_too_many_parts
from workflows.local_activities import answer_to
from workflows.migrating import Migrating
from workflows.sending import Sending
from workflows.state import KEPT_STEPS, State

_TRIES: Final = 3
_MOMENT: Final = timedelta(milliseconds=1)


class Course(Migrating, Sending):
    """One contact through one scenario.

    Args:
        argument: The workflow's: an entry, or what the run before handed on.

    Raises:
        ScenarioError: It cannot be read.
    """

    def __init__(self, argument: Any) -> None:
        super().__init__()
        self._carried = _carried(argument)
        if self._carried and is_entry(self._carried["entry"]):
            self.state = State.load(self._carried["state"])
            self._open(self._carried["entry"])

    async def run(self, argument: Any) -> dict[str, Any]:
        """Runs the journey from its entry, or from where continue-as-new left it.

        Returns:
            ``{"outcome", "reason", "version", "steps"}``.

        Raises:
            ApplicationError: The argument is not an entry at all.
        """
        data: Any = self._carried["entry"] if self._carried else argument
        if not is_entry(data):
            raise ApplicationError(
                "The argument of a Journey must be one JSON object with 'scenario', 'contact' and 'trigger'",
                type="NotAnEntry",
                non_retryable=True,
            )
        if not self._carried:
            over = await self._admit(data)
            if over is None:
                self._open(data)
            else:
                self.ended = over["outcome"]
            # Updates that came before admission take effect first: a paused journey starts no step.
            if self.early:
                await workflow.wait_condition(lambda: not self.early)
            if over is not None:
                return over
        intake = asyncio.create_task(self.take_in())
        counting = asyncio.create_task(self.count_goals()) if self.plan.goal else None
        if counting is not None:  # what it fails with is no journey's end: its departure counts what is left
            counting.add_done_callback(_heard)
        journey = asyncio.current_task()

        def end_with_it(ended: asyncio.Task[None]) -> None:
            if journey is not None and _error_of(ended):
                journey.cancel()

        intake.add_done_callback(end_with_it)
        try:
            outcome, reason = await self._follow(data)
            if self._may_end_otherwise:
                # Temporal may refuse the task that closes the journey. If that were this task, it would be done anew
                # with what has come since: the journey might go on, while the store took it for over.
                self.leave(reason)  # it takes no update any more
                await workflow.sleep(_MOMENT, summary="before the departure")
        except asyncio.CancelledError:
            if error := _error_of(intake):
                raise error from None
            await self._depart("exited", "cancelled")
            raise
        finally:
            # What it asks at the moment ends in an error then, which is expected and not the journey's.
            intake.remove_done_callback(end_with_it)
            intake.add_done_callback(_heard)
            intake.cancel()
            if counting is not None:
                counting.cancel()
        await self._depart(outcome, reason)
        return {
            "outcome": outcome,
            "reason": reason,
            "version": self.version,
            "steps": [record.as_dict() for record in self.state.steps],
        }

    # ---- the course of a journey

    async def _admit(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """Asks to come in. Returns the result where the journey is over at once: refused, or let in to get nothing."""
        if is_too_deep(data):  # not even the admission could be asked
            return _over("refused", "the entry is nested too deeply")
        if has_too_many_parts(data):
            return _over("refused", TOO_MANY_PARTS)
        info = workflow.info()
        root = info.first_execution_run_id
        started = info.start_time.astimezone(UTC).isoformat()
        admission = Admission(entry=data, workflow_id=info.workflow_id, run_id=root, now=started)
        admitted = await answer_to(ADMIT, admission)
        if admitted.refused:
            return _over("refused", admitted.refused)
        if admitted.outcome:
            if self._arrived:  # its goal is measured all the same
                departure = Departure(
                    workflow_id=info.workflow_id,
                    run_id=root,
                    outcome=admitted.outcome,
                    reason=admitted.reason,
                    now=started,
                    events=self._arrived,
                )
                await answer_to(DEPART, departure, about=admitted.outcome)
            return _over(admitted.outcome, admitted.reason, f"{parse_entry(data).name}@{admitted.version}")
        plan = restore(admitted.plan)
        self.state = State(version=admitted.version, plan=plan, zone=admitted.zone, entered_at=started, root=root)
        self.state.at = load_plan(plan).start
        return None

    def _open(self, data: dict[str, Any]) -> None:
        """Reads what was carried here: entry, plan, and the contact with its changes."""
        info = workflow.info()
        self.state.reset = self.state.reset or info.original_execution_run_id != info.run_id
        self.entry = parse_entry(data)
        self.plan = load_plan(self.state.plan)
        self._data = clean(self.entry, zone_of(self.state.zone))
        self.name_version()
        patch, self.state.patch = self.state.patch, {}
        self.refresh(patch, carried=True)

    async def _follow(self, data: dict[str, Any]) -> tuple[str, str]:
        """Performs step after step. Returns how it ended and why."""
        while self.state.at is not None:
            while self.moving is not None:
                await self.move(self.moving)
            step = self.plan.steps[self.state.at]
            course = await self._pause() or await self._interruptible(step)
            match course:
                case Next():
                    following = await self.advance(course)
                    measure_history()
                    if following is not None and self.must_continue:
                        await self._continue_as_new(data)
                case Leave():
                    return "exited", course.reason
                case ContinueAsNew():
                    await self._continue_as_new(data)
        self.show()
        return "finished", ""

    async def _interruptible(self, step: Row) -> Outcome:
        """Performs a step, unless or until the contact leaves or an operator skips it."""
        # An event that has just come may end the journey: nothing is sent before that is known.
        await workflow.wait_condition(lambda: self.taken_in)
        if not self.interrupted:
            if self.state.since is None:
                self.state.since = workflow.now().isoformat()
                self.memory.mark = self.state.counted
            self.show()
            work = asyncio.create_task(step.perform(self))
            try:
                await workflow.wait_condition(
                    lambda: work.done() or self._leaving is not None or self.skipping is not None
                )
            finally:
                if not work.done():
                    work.add_done_callback(_heard)
                    work.cancel()
            if work.done() and not work.cancelled():
                return self._ended(work.result())
            await workflow.wait([work])
            # A cancelled activity ends in an error, which is expected here. What ended by itself in the same moment
            # has its outcome on record, and is not left or skipped as well.
            if not work.cancelled() and work.exception() is None:
                return self._leaving or self._ended(work.result())
        if self._leaving is not None:
            self.record("left", self._leaving.reason)
            return self._leaving
        reason, self.skipping = self.skipping, None
        self.memory.rounds.pop(self.step, None)
        if isinstance(step, Send):
            await self.release()
        self.record("skipped", reason)
        return Next(step.skipped_to)

    def _ended(self, outcome: Outcome) -> Outcome:
        """What a step has come to; where that is an end, an update to skip it came too late, and skips no other."""
        if self.moving is None or not isinstance(outcome, ContinueAsNew):
            self.skipping = None
        return outcome

    async def _pause(self) -> Outcome | None:
        """Stays here while an operator has paused the journey."""
        if self.state.paused:
            self.show(always=True)
            await workflow.wait_condition(
                lambda: not self.state.paused or self._leaving is not None or (self.must_continue and self._undecided)
            )
            if self.state.paused and self._leaving is None:
                return ContinueAsNew()
        return None

    async def _continue_as_new(self, data: dict[str, Any]) -> None:
        """Starts the next run, unless somebody has just decided something: that is acted upon first."""
        if self.moving is None and self._undecided:
            await self._count_passed()
        if self.moving is None:
            await workflow.wait_condition(lambda: self.taken_in and workflow.all_handlers_finished())
        if self.moving is None and self._undecided:
            carried = {"entry": data, "state": self.state.dump()}
            if not is_too_large(carried, LARGEST_CARRIED):
                workflow.continue_as_new(carried)
            # The command would be refused, and the workflow task fail over and over.
            workflow.logger.warning("what the journey has to remember is too large for another run: this one goes on")
            self.stays = True

    async def _count_passed(self) -> None:
        """Has what was passed counted, so that the next run need not carry it along.

        Where the store does not answer, it does all the same, and the journey goes on.
        """
        if not self.state.passed:
            return
        journey, passed = workflow.info().workflow_id, [*self.state.passed]
        told = Passages(
            workflow_id=journey,
            run_id=self.state.root,
            first=self.state.told,
            passed=passed,
            revisable=self.revisable,
            now=workflow.now().isoformat(),
        )
        try:
            await answer_to(COUNT, told, about=str(len(passed)), tries=_TRIES)
        except FailureError as error:  # of a local activity it comes unwrapped
            if isinstance(error, CancelledError) or isinstance(error.cause, CancelledError):
                raise asyncio.CancelledError from error
            self.state.count(max(len(passed) - KEPT_STEPS, 0))
        else:
            self.state.count(len(passed))

    @property
    def _undecided(self) -> bool:
        """Whether nothing was decided that this run has yet to act upon: updates do not go along to the next."""
        return not self.interrupted and not self.retrying

    @property
    def _may_end_otherwise(self) -> bool:
        """Whether this workflow task decided more than an attempt's result: done anew, it may decide otherwise."""
        number = self.revisable
        if self.leaving:
            return number > 0 and any(rule.condition for rule in self.plan.exit)
        return any(not is_delivery(record.kind) for record in self.state.steps[len(self.state.steps) - number :])

    async def _depart(self, outcome: str, reason: str) -> None:
        departure = Departure(
            workflow_id=workflow.info().workflow_id,
            run_id=self.state.root,
            outcome=outcome,
            reason=reason or self._failed(),
            now=workflow.now().isoformat(),
            delivery=self.begun,
            arrived=self.arrived if self.leaving and self.revisable else "",
            events=self.uncounted or None,
            passed=self.state.passed or None,
            first=self.state.told,
            revisable=self.revisable,
        )
        await answer_to(DEPART, departure)
        if not workflow.all_handlers_finished():  # an update that came too late is refused, not left without an answer
            await workflow.wait_condition(workflow.all_handlers_finished)

    def _failed(self) -> str:
        """How many of its deliveries failed, for the store alone: lists are not to call that well done."""
        made = [record.outcome for record in self.state.steps if is_delivery(record.kind)]
        failed = sum(outcome in ("failed", "unknown") for outcome in made)
        return f"{failed} of {len(made)} deliveries failed" if failed else ""


def _over(outcome: str, reason: str, version: str | None = None) -> dict[str, Any]:
    """The result of a journey that is over before its first step."""
    return {"outcome": outcome, "reason": reason, "version": version, "steps": []}


def _carried(argument: Any) -> dict[str, Any] | None:
    """What the run before handed on, or None where this run begins a journey, or fails to.

    A cron schedule or a workflow's retry policy also starts a run that follows another, but with the argument of the
    first run. There a state counts only if this worker can read all of it. Elsewhere a state that a newer worker wrote
    fails the workflow task, which then waits for such a worker.
    """
    info = workflow.info()
    if not info.continued_run_id or not isinstance(argument, dict):
        return None
    data = cast("dict[str, Any]", argument)
    is_known = State.is_readable if info.cron_schedule or info.retry_policy else State.is_dumped
    carries = data.keys() == {"entry", "state"} and is_known(data["state"])
    return data if carries else None


def _error_of(task: asyncio.Task[Any]) -> BaseException | None:
    """What a task failed with, if it has."""
    return task.exception() if task.done() and not task.cancelled() else None


def _heard(task: asyncio.Task[Any]) -> None:
    """Takes notice of how a task ended that was cancelled: nobody else asks, and asyncio complains."""
    if not task.cancelled():
        task.exception()
