"""The updates of operators. Each names an operator and a reason, and is refused if it does not apply."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow

from activities.interface import AMEND, RETUNE, Retuning, StepVersion, StepVersionRequest
from scenario.errors import DurationError
from scenario.plan.retry import BOUNDS, STEEPEST, STORED, UNLIMITED, fit
from scenario.steps.delivery import REFUSED_ANSWER, Send
from scenario.time import parse_duration
from workflows.delivery import DeliveryRunner
from workflows.host import JourneyHost
from workflows.limits import is_object
from workflows.migrations import Migrations
from workflows.primitives import call_for_update, refusal
from workflows.state import Held, OperationRecord, Override, State
from workflows.visibility import progress

_LONGEST: Final = 500
_STEP: Final = 300
_NUMBERS: Final = {
    "backoff_coefficient": f"must be a number from 1 to {STEEPEST}",
    "maximum_attempts": "must be a whole number; 0 is as many as the deadline allows",
}
_MOST_NAMES: Final = 1000
_LONGEST_NAME: Final = 300
_DURATION: Final = "must be a duration, such as 90s or 2h, or a number of seconds"


class OperatorUpdates:
    """Checks and executes updates.

    Every update takes ``{"operator": …, "reason": …}`` and returns the journey's progress. Its `check_…` method raises
    ApplicationError to refuse it.
    """

    def __init__(self, host: JourneyHost, deliveries: DeliveryRunner, migrations: Migrations) -> None:
        self._host, self._deliveries, self._migrations = host, deliveries, migrations
        self.outcome = ""  # the outcome of a journey that ends at its admission; else empty
        self.pending = 0  # number of updates that wait for admission

    # ---- retry_step

    async def retry_step(self, argument: Any) -> dict[str, Any]:
        """Retry the held step, from now on as another version has it if the argument names one.

        With ``"now": true`` it is sent regardless of hours and caps. The step may then also be a deferred delivery.
        With ``"anew": true`` it is a new delivery, which its receiver does not take for a repetition.
        """
        host, state = self._host, self._host.state
        details: dict[str, Any] = {}
        held = state.held
        if held is not None and (version := read_version(argument)) is not None:
            amended = await self._step_in(version, held)
            if state.held is not held or host.is_retry_ordered or host.is_interrupted:
                raise refusal("nothing to retry: somebody else has decided meanwhile")
            is_own = amended.version == state.version
            state.override = None if is_own else Override(version=amended.version, step=amended.step)
            details["version"] = f"{host.entry.name}@{amended.version}"
        if argument.get("now"):
            details["now"] = state.send_now = True
        if argument.get("anew"):
            details["anew"] = True
            state.renew_delivery()
        self._note("retry_step", argument, details=details or None)
        host.is_retry_ordered = held is not None
        return self.progress()

    def check_retry_step(self, argument: Any) -> None:
        """Require a held step, or for ``"now": true`` a deferred delivery."""
        state = self._check(argument)
        now, anew = (read_flag(argument, name) for name in ("now", "anew"))
        is_deferred = now and state.memory.deferred is not None
        if self._host.is_retry_ordered or (state.held is None and not is_deferred):
            raise refusal("nothing to retry: the journey is not held")
        self._check_step(argument)
        if anew and (state.held is None or state.held.cause != REFUSED_ANSWER):
            raise refusal("'anew' is for a step whose response was refused: leave it out, or it may arrive twice")
        if read_version(argument) is not None and state.held is None:
            raise refusal("'version' is for a held step: this one is kept back, and has not failed")

    async def _step_in(self, version: int | str, held: Held) -> StepVersion:
        host = self._host
        amendment = StepVersionRequest(
            scenario=host.entry.name,
            version=version if isinstance(version, int) else None,
            step=held.step,
            kind=host.plan.steps[held.step].kind,
        )
        amended = await call_for_update(AMEND, amendment)
        if amended.error:
            raise refusal(amended.error)
        return amended

    # ---- retune

    async def retune(self, argument: Any) -> dict[str, Any]:
        """Change the retry policy of the delivery in flight, until the step ends."""
        state, step, deliveries = self._host.state, self._tunable(argument), self._deliveries
        name = state.at
        changes = read_retry(argument)
        # Zero would leave the limit to the delivery, which has its own.
        is_unlimited = changes.get("attempts") == 0 and step.retry.maximum_attempts
        sent = {**changes, "attempts": UNLIMITED} if is_unlimited else changes
        info = workflow.info()
        now = workflow.now().isoformat()
        retuning = Retuning(workflow_id=info.workflow_id, run_id=info.run_id, step=name or "", retry=sent, now=now)
        retuned = await call_for_update(RETUNE, retuning)
        if retuned.error:
            raise refusal(retuned.error)
        if deliveries.in_flight is step:
            changed = step.retry.changed_by(changes)
            deliveries.deadline += timedelta(seconds=changed.deadline - step.retry.deadline)
            deliveries.in_flight = replace(step, retry=changed)
        if state.at == name:
            # An earlier deadline ends this delivery, not those that an operator may retry later.
            state.retuned = {**state.retuned, **{key: value for key, value in changes.items() if key != "deadline"}}
        self._note("retune", argument, step=name, details={"retry": argument["retry"]})
        return self.progress()

    def check_retune(self, argument: Any) -> None:
        """Require a delivery in flight."""
        self._check(argument)
        step = self._tunable(argument)
        self._check_step(argument)
        deadline = read_retry(argument).get("deadline")
        if deadline is not None and deadline > step.retry.deadline:
            # Temporal would accept it, and still end the delivery at the old deadline.
            raise refusal("the deadline of a delivery in flight can only be brought forward")

    def _tunable(self, argument: Any) -> Send:
        step, wanted = self._deliveries.in_flight, argument.get("destination")
        if step is None:
            raise refusal("nothing to retune: no delivery is in flight")
        destination = step.to or step.channel
        if wanted is not None and wanted != destination:
            raise refusal(f"the delivery in flight goes to '{destination}'")
        return step

    # ---- skip_step, leave, pause, resume

    def skip_step(self, argument: Any) -> dict[str, Any]:
        """Skip the current step: a held one, a wait, or a delivery between two attempts."""
        operation = self._note("skip_step", argument)
        self._host.skipping = f"skipped by {operation.operator}: {operation.reason}"
        return self.progress()

    def check_skip_step(self, argument: Any) -> None:
        """Require that no skip is pending."""
        self._check(argument)
        if self._host.skipping is not None:
            raise refusal("the step is being skipped already")
        self._check_step(argument)

    def leave(self, argument: Any) -> dict[str, Any]:
        """End the journey immediately."""
        operation = self._note("leave", argument)
        self._host.leave(f"left by {operation.operator}: {operation.reason}")
        return self.progress()

    def check_leave(self, argument: Any) -> None:
        self._check(argument)
        self._check_step(argument)

    def pause(self, argument: Any) -> dict[str, Any]:
        """Stop the journey before its next step."""
        self._host.state.paused = self._note("pause", argument)
        self._host.show(always=True)
        return self.progress()

    def check_pause(self, argument: Any) -> None:
        if self._check(argument).paused:
            raise refusal("the journey is paused already")

    def resume(self, argument: Any) -> dict[str, Any]:
        self._note("resume", argument)
        self._host.state.paused = None
        self._host.show(always=True)
        return self.progress()

    def check_resume(self, argument: Any) -> None:
        if not self._check(argument).paused:
            raise refusal("the journey is not paused")

    # ---- migrate

    async def migrate(self, argument: Any) -> dict[str, Any]:
        """Adopt another version as soon as nothing of the current step is in flight."""
        version, names, restarts = read_version(argument), read_names(argument), read_waits(argument)
        migration, details = await self._migrations.find(version, names, restarts=restarts)
        self._note("migrate", argument, details=details)
        self._host.moving = migration
        return self.progress()

    def check_migrate(self, argument: Any) -> None:
        """Require a version, and that no other migration is pending."""
        self._check(argument)
        self._check_step(argument)
        if (moving := self._host.moving) is not None:
            raise refusal(f"the journey is about to go on in {self._host.entry.name}@{moving.version}")
        if read_version(argument) is None:
            raise refusal("'version' is missing: say which, by its number or as 'newest'")
        read_names(argument)
        read_waits(argument)

    # ---- what all updates have in common

    def progress(self) -> dict[str, Any]:
        """Return the journey's progress; see `docs/integrate/journeys.md` for the fields."""
        host = self._host
        if not host.version:
            return {"state": "entering", "steps": []}
        is_leaving = host.departure is not None
        return progress(host.state, host.plan, host.version, str(host.zone), moving=host.moving, is_leaving=is_leaving)

    @property
    def is_entering(self) -> bool:
        """True until the contact is admitted or refused."""
        return not self._host.version and not self.outcome

    async def admission(self) -> None:
        """Wait until the contact is admitted or refused."""
        self.pending += 1
        await workflow.wait_condition(lambda: not self.is_entering)
        self.pending -= 1

    def check_record(self, argument: Any) -> None:
        """Refuse an update without an operator and a reason."""
        data = argument if is_object(argument) else {}
        for key in ("operator", "reason"):
            value = data.get(key)
            if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
                raise refusal(f"'{key}' is missing: say who does this and why, each in at most {_LONGEST} characters")

    def _check(self, argument: Any) -> State:
        self.check_record(argument)
        if self.outcome:
            raise refusal(f"the journey is over ({self.outcome})")
        if self._host.departure is not None or self._host.state.at is None:
            raise refusal("the journey is over")
        return self._host.state

    def _check_step(self, argument: Any) -> None:
        """Refuse an update for another step. Search, by which its journey was found, may be stale."""
        at, wanted = self._host.state.at, argument.get("step")
        if wanted is not None and wanted != at:
            # Quoted up to the length of an id: a refusal of megabytes would fail the workflow task.
            raise refusal(f"the journey is not at step '{str(wanted)[:_STEP]}', but at '{at}'")

    def _note(
        self, name: str, argument: Any, *, step: str | None = None, details: dict[str, Any] | None = None
    ) -> OperationRecord:
        state = self._host.state
        operation = OperationRecord(
            name=name,
            operator=argument["operator"],
            reason=argument["reason"],
            at=workflow.now().isoformat(timespec="seconds"),
            step=step or state.at,
            details=details,
        )
        state.note(operation)
        return operation


# ---- arguments


def read_flag(argument: dict[str, Any], name: str) -> bool:
    """Return an argument that is true or false, by default false. Refuse anything else."""
    value = argument.get(name, False)
    if value is not True and value is not False:
        raise refusal(f"'{name}' must be true or false")
    return value


def read_version(argument: dict[str, Any]) -> int | str | None:
    """Return the version that an update names: a number, ``newest``, or None. Refuse anything else."""
    version = argument.get("version")
    if version is None or version == "newest" or (isinstance(version, int) and version > 0 and version is not True):
        return version
    raise refusal("'version' must be the number of a version, such as 4, or 'newest'")


def read_names(argument: dict[str, Any]) -> dict[str, str]:
    """Return the map of `migrate`: new step ids by old ones. Refuse anything else."""
    given: Any = argument.get("map")
    names: dict[Any, Any] = given if is_object(given) else {}
    is_short = len(names) <= _MOST_NAMES
    if (given is None or names == given) and is_short and all(_is_name(one) for pair in names.items() for one in pair):
        return names
    raise refusal('\'map\' must be an object: new ids of steps by their old ones, such as {"wait-2": "wait-3"}')


def read_waits(argument: dict[str, Any]) -> bool:
    """Return True if `migrate` restarts a wait, instead of keeping its start."""
    waits = argument.get("waits", "keep")
    if waits not in ("keep", "restart"):
        raise refusal("'waits' must be 'keep' or 'restart'")
    return waits == "restart"


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME


def read_retry(argument: dict[str, Any]) -> dict[str, float]:
    """Return the changes that `retune` makes, as `scenario.plan.retry.Changes`. Refuse malformed ones."""
    retry = argument.get("retry")
    if not is_object(retry) or not retry:
        raise refusal(f"'retry' is missing: give at least one of {', '.join(STORED)}")
    read = {STORED.get(name, ""): _value(name, value) for name, value in retry.items()}
    if not fit(read):
        raise refusal("'maximum_interval' is shorter than 'initial_interval'")
    return read


def _value(name: str, value: Any) -> float:
    if name not in STORED:
        raise refusal(f"'retry' knows no '{name[:40]}': it knows {', '.join(STORED)}")
    number: Any = value
    if isinstance(value, str) and name not in _NUMBERS:
        try:
            number = parse_duration(value).total_seconds()
        except DurationError:
            number = None
    kinds = int if name == "maximum_attempts" else int | float
    low, high = BOUNDS[name]
    if not isinstance(number, kinds) or isinstance(number, bool) or not low <= number <= high:
        raise refusal(f"'{name}' {_NUMBERS.get(name, _DURATION)}")
    return number if name in _NUMBERS else float(number)
