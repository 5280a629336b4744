"""What operators can do to a journey: updates, each with operator and reason, refused where they make no sense."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final, cast

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from workflows.means import Means
from workflows.state import Operation, State

_LONGEST: Final = 500


class Operations(Means):
    """The part of a journey that obeys operators, and tells how it stands.

    Every update takes ``{"operator": …, "reason": …}`` and answers with the journey's progress.
    """

    @workflow.update(name="retry_step", description="Tries the held step again, under the same delivery id.")
    def retry_step(self, order: Any = None, *_: Any) -> dict[str, Any]:
        """Tries the step again at which the journey is held."""
        self._note("retry_step", order)
        self.retrying = True
        return self.report()

    @retry_step.validator
    def check_retry_step(self, order: Any = None, *_: Any) -> None:
        """Only a held step can be tried again."""
        state = self._started(order)
        if state.held is None or self.retrying:
            raise _refusal("nothing to retry: the journey is not held")

    @workflow.update(name="skip_step", description="Gives up the step at which the journey stands, and goes on.")
    def skip_step(self, order: Any = None, *_: Any) -> dict[str, Any]:
        """Leaves the present step behind: a held one, a wait, or a delivery between two attempts."""
        operation = self._note("skip_step", order)
        self.skipping = f"skipped by {operation.operator}: {operation.reason}"
        return self.report()

    @skip_step.validator
    def check_skip_step(self, order: Any = None, *_: Any) -> None:
        """One step is skipped at a time; an order that names its step skips no other."""
        state = self._started(order)
        if self.skipping is not None:
            raise _refusal("the step is being skipped already")
        wanted = order.get("step")
        if wanted is not None and wanted != state.at:
            raise _refusal(f"the journey is not at the step that was to be skipped, but at '{state.at}'")

    @workflow.update(name="leave", description="Ends the self.")
    def leave_journey(self, order: Any = None, *_: Any) -> dict[str, Any]:
        """Ends the journey at once."""
        operation = self._note("leave", order)
        self.leave(f"left by {operation.operator}: {operation.reason}")
        return self.report()

    @leave_journey.validator
    def check_leave(self, order: Any = None, *_: Any) -> None:
        """Any journey can be ended."""
        self._started(order)

    @workflow.update(name="pause", description="Starts no further step until resumed. A delivery under way goes on.")
    def pause(self, order: Any = None, *_: Any) -> dict[str, Any]:
        """Stops the journey before its next step."""
        self.state.paused = self._note("pause", order)
        self.show(always=True)
        return self.report()

    @pause.validator
    def check_pause(self, order: Any = None, *_: Any) -> None:
        """A journey is paused once."""
        if self._started(order).paused:
            raise _refusal("the journey is paused already")

    @workflow.update(name="resume", description="Lets a paused journey go on.")
    def resume(self, order: Any = None, *_: Any) -> dict[str, Any]:
        """Lets a paused journey go on."""
        self._note("resume", order)
        self.state.paused = None
        self.show(always=True)
        return self.report()

    @resume.validator
    def check_resume(self, order: Any = None, *_: Any) -> None:
        """Only a paused journey can be resumed."""
        if not self._started(order).paused:
            raise _refusal("the journey is not paused")

    @workflow.query(name="progress", description="Where the journey is, what it did, and why it waits.")
    def progress(self) -> dict[str, Any]:
        """Where the journey is; see `docs/architecture.md` for the fields."""
        return self.report()

    def report(self) -> dict[str, Any]:
        """The journey's progress as plain JSON."""
        state: State | None = getattr(self, "state", None)
        if state is None:
            return {"state": "entering", "steps": []}
        waiting: dict[str, Any] | None = None
        if state.held:
            known = {key: value for key, value in asdict(state.held).items() if value not in (None, "")}
            waiting = {"for": "an operator", **known}
        elif state.paused:
            waiting = {"for": "resume", "operator": state.paused.operator, "reason": state.paused.reason}
        elif state.awaiting:
            waiting = {"for": f"event {state.awaiting}", "until": state.until}
        elif state.until:
            waiting = {"for": "time", "until": state.until}
        return {
            "state": "leaving" if self.leaving else state.mode if state.at is not None else "over",
            "scenario": self.version,
            "at": state.at,
            "since": state.since,
            "waiting": waiting,
            "entered_at": state.entered_at,
            "steps": [record.as_dict() for record in state.steps],
            "events": [{"name": event.name, "at": event.at} for event in state.events],
            "operations": [asdict(operation) for operation in state.operations],
        }

    def _started(self, order: Any) -> State:
        """What every update needs: who, why, and a journey that is under way."""
        data = cast("dict[str, Any]", order) if isinstance(order, dict) else {}
        for key in ("operator", "reason"):
            value = data.get(key)
            if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
                raise _refusal(f"'{key}' is missing: say who does this and why, each in at most {_LONGEST} characters")
        if getattr(self, "state", None) is None or not self.version:
            raise _refusal("the journey has not begun yet: try again in a moment")
        if self.leaving or self.state.at is None:
            raise _refusal("the journey is over")
        return self.state

    def _note(self, name: str, order: Any) -> Operation:
        operation = Operation(
            name=name,
            operator=order["operator"],
            reason=order["reason"],
            at=workflow.now().isoformat(timespec="seconds"),
            step=self.state.at,
        )
        self.state.operations.append(operation)
        return operation


def _refusal(reason: str) -> ApplicationError:
    return ApplicationError(reason, type="NotNow", non_retryable=True)
