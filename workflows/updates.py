"""Handlers of operators' updates, each with operator and reason, refused where they make no sense."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any, Final, cast

from temporalio import workflow
from temporalio.exceptions import FailureError

from activities.amending import AMEND, Amended, Amendment
from activities.call import ActivityType
from activities.interface import RETUNE, Retuning
from scenario.plan.retry import UNLIMITED
from scenario.steps.delivery import Send
from workflows.host import StepHost
from workflows.local_activities import Result, answer_to
from workflows.state import Held, Operation, Override, State
from workflows.update_arguments import read_retry, read_version, refusal

_LONGEST: Final = 500
_STEP: Final = 300
_TRIES: Final = 3


class UpdateHandlers(StepHost):
    """The part of a journey that handles operators' updates, and answers queries.

    Every update takes ``{"operator": …, "reason": …}`` and answers with the journey's progress.
    """

    async def retry_step(self, argument: Any) -> dict[str, Any]:
        """Tries the step again at which the journey is held, from now on as another version has it if one is named.

        With ``"now": true`` it leaves whatever the hour, and whatever caps say; it need not be held then, but may be
        kept back.
        """
        details: dict[str, Any] = {}
        held = self.state.held
        if held is not None and (version := read_version(argument)) is not None:
            amended = await self._amended(held, version)
            if self.state.held is not held or self.retrying or self.interrupted:
                raise refusal("nothing to retry: somebody else has decided meanwhile")
            own = amended.version == self.state.version
            self.state.anew = None if own else Override(version=amended.version, step=amended.step)
            details["version"] = f"{self.entry.name}@{amended.version}"
        if argument.get("now"):
            details["now"] = self.state.at_once = True
        self.note_operation("retry_step", argument, details=details or None)
        self.retrying = held is not None
        return self.report()

    def check_retry_step(self, argument: Any) -> None:
        """Only a held step can be tried again, or one that is kept back made to leave now."""
        state = self.started(argument)
        now = argument.get("now", False)
        if now is not True and now is not False:
            raise refusal("'now' must be true or false")
        is_kept_back = now and self.memory.deferred is not None
        if self.retrying or (state.held is None and not is_kept_back):
            raise refusal("nothing to retry: the journey is not held")
        self.there(argument)
        if read_version(argument) is not None and state.held is None:
            raise refusal("'version' is for a held step: this one is kept back, and has not failed")

    async def _amended(self, held: Held, version: int | str) -> Amended:
        amendment = Amendment(
            scenario=self.entry.name,
            version=version if isinstance(version, int) else None,
            step=held.step,
            kind=self.plan.steps[held.step].kind,
        )
        amended = await ask_for_operation(AMEND, amendment)
        if amended.error:
            raise refusal(amended.error)
        return amended

    async def retune(self, argument: Any) -> dict[str, Any]:
        """Changes the retry policy of the delivery under way; it stays so until the step is over."""
        state, step = self.state, self._tunable(argument)
        name = state.at
        retry = read_retry(argument)
        now = dict(retry)
        if retry.get("attempts") == 0 and step.retry.maximum_attempts:
            now["attempts"] = UNLIMITED  # 0 would leave the count to the delivery, which has its own
        info = workflow.info()
        retuning = Retuning(workflow_id=info.workflow_id, run_id=info.run_id, step=name or "", retry=now)
        retuned = await ask_for_operation(RETUNE, retuning)
        if retuned.error:
            raise refusal(retuned.error)
        if self.under_way is step:
            now_has = step.retry.changed_by(retry)
            self.deadline += timedelta(seconds=now_has.deadline - step.retry.deadline)
            self.under_way = replace(step, retry=now_has)
        if state.at == name:
            # A deadline is brought forward to end this try, not those that an operator may ask for later.
            state.retuned = {**state.retuned, **{key: value for key, value in retry.items() if key != "deadline"}}
        self.note_operation("retune", argument, step=name, details={"retry": argument["retry"]})
        return self.report()

    def check_retune(self, argument: Any) -> None:
        """Only a delivery under way has a policy to change."""
        self.started(argument)
        step = self._tunable(argument)
        self.there(argument)
        deadline = read_retry(argument).get("deadline")
        if deadline is not None and deadline > step.retry.deadline:
            # Temporal would say yes, and end it at the old one all the same.
            raise refusal("the deadline of a delivery under way can only be brought forward")

    def there(self, argument: dict[str, Any]) -> None:
        """An operation that names a step is meant for no other: search, by which its journey was found, lags behind."""
        wanted = argument.get("step")
        if wanted is not None and wanted != self.state.at:
            # Quoted up to the length of an id: a refusal of megabytes would fail the workflow task.
            raise refusal(f"the journey is not at step '{str(wanted)[:_STEP]}', but at '{self.state.at}'")

    def _tunable(self, argument: dict[str, Any]) -> Send:
        if self.under_way is None:
            raise refusal("nothing to retune: no delivery is under way")
        goes, wanted = self.under_way.to or self.under_way.channel, argument.get("destination")
        if wanted is not None and wanted != goes:
            raise refusal(f"the delivery under way goes to '{goes}'")
        return self.under_way

    def skip_step(self, argument: Any) -> dict[str, Any]:
        """Leaves the present step behind: a held one, a wait, or a delivery between two attempts."""
        operation = self.note_operation("skip_step", argument)
        self.skipping = f"skipped by {operation.operator}: {operation.reason}"
        return self.report()

    def check_skip_step(self, argument: Any) -> None:
        """One step is skipped at a time; an operation that names its step skips no other."""
        self.started(argument)
        if self.skipping is not None:
            raise refusal("the step is being skipped already")
        self.there(argument)

    def leave_journey(self, argument: Any) -> dict[str, Any]:
        """Ends the journey at once."""
        operation = self.note_operation("leave", argument)
        self.leave(f"left by {operation.operator}: {operation.reason}")
        return self.report()

    def check_leave(self, argument: Any) -> None:
        """Any journey can be ended; with a step, only one that is at it."""
        self.started(argument)
        self.there(argument)

    def pause(self, argument: Any) -> dict[str, Any]:
        """Stops the journey before its next step."""
        self.state.paused = self.note_operation("pause", argument)
        self.show(always=True)
        return self.report()

    def check_pause(self, argument: Any) -> None:
        """A journey is paused once."""
        if self.started(argument).paused:
            raise refusal("the journey is paused already")

    def resume(self, argument: Any) -> dict[str, Any]:
        """Lets a paused journey go on."""
        self.note_operation("resume", argument)
        self.state.paused = None
        self.show(always=True)
        return self.report()

    def check_resume(self, argument: Any) -> None:
        """Only a paused journey can be resumed."""
        if not self.started(argument).paused:
            raise refusal("the journey is not paused")

    def report(self) -> dict[str, Any]:
        """The journey's progress as plain JSON."""
        state: State | None = getattr(self, "state", None)
        if state is None:
            return {"state": "entering", "steps": []}
        memory = state.memory
        waiting: dict[str, Any] | None = None
        if state.held:
            known = {key: value for key, value in asdict(state.held).items() if value not in (None, "")}
            waiting = {"for": "an operator", **known}
        elif state.paused:
            waiting = {"for": "resume", "operator": state.paused.operator, "reason": state.paused.reason}
        elif memory.awaiting or memory.until:
            what = f"event {memory.awaiting}" if memory.awaiting else memory.deferral or "time"
            waiting = {"for": what, "until": memory.until and memory.until.isoformat()}
        return {
            "state": "leaving" if self.leaving else state.mode if state.at is not None else "over",
            "scenario": self.version,
            "at": state.at,
            "since": state.since,
            "waiting": waiting,
            "entered_at": state.entered_at,
            "steps": [record.as_dict() for record in state.steps],
            "steps_forgotten": state.forgotten,
            "rounds": self._rounds(),
            "events": [{"name": event.name, "at": event.at} for event in state.events],
            "operations": [operation.as_dict() for operation in state.operations],
            "passed_over": [asdict(one) for one in state.passed_over],
            "goal": self._goal(),
            "zone": str(self.zone),
            "moves_to": f"{self.entry.name}@{self.moving.version}" if self.moving else None,
        }

    def _goal(self) -> dict[str, Any] | None:
        """The scenario's goal, and when it was reached, if it was; None where there is none."""
        goal = self.plan.goal
        return goal and {"event": goal.event, "within": goal.within, "reached_at": self.state.reached}

    def _rounds(self) -> list[dict[str, Any]]:
        """How far the repetitions are that the journey is in, the outermost first."""
        steps = self.plan.steps
        return [
            {"step": name, "round": rounds.number, "of": steps[name].most}
            for name, rounds in self.memory.rounds.items()
            if name in steps
        ]

    @property
    def is_entering(self) -> bool:
        """Whether it is yet to be decided if the contact is admitted."""
        return not self.version and not self.ended

    async def admission(self) -> None:
        """Wait until the contact is admitted or refused."""
        self.early += 1
        await workflow.wait_condition(lambda: not self.is_entering)
        self.early -= 1

    def check_record(self, argument: Any) -> None:
        """Refuse an update without an operator and a reason.

        Raises:
            ApplicationError: One of them is missing or too long.
        """
        data = cast("dict[str, Any]", argument) if isinstance(argument, dict) else {}
        for key in ("operator", "reason"):
            value = data.get(key)
            if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
                raise refusal(f"'{key}' is missing: say who does this and why, each in at most {_LONGEST} characters")

    def started(self, argument: Any) -> State:
        """What every update needs: who, why, and a journey that is under way."""
        self.check_record(argument)
        if self.ended:
            raise refusal(f"the journey is over ({self.ended})")
        if self.leaving or self.state.at is None:
            raise refusal("the journey is over")
        return self.state

    def note_operation(
        self, name: str, argument: Any, *, step: str | None = None, details: dict[str, Any] | None = None
    ) -> Operation:
        """Puts an operation on record."""
        operation = Operation(
            name=name,
            operator=argument["operator"],
            reason=argument["reason"],
            at=workflow.now().isoformat(timespec="seconds"),
            step=step or self.state.at,
            details=details,
        )
        self.state.note(operation)
        return operation


async def ask_for_operation(call: ActivityType[Any, Result], argument: Any) -> Result:
    """Calls a local activity for an operation, or refuses the operation: nobody waits for long."""
    try:
        return await answer_to(call, argument, tries=_TRIES)
    except FailureError as error:  # of a local activity it comes unwrapped
        raise refusal("this could not be done just now, and nothing has changed: try again") from error
