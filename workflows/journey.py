"""The workflow `Journey`, as Temporal starts it: its declarations. `workflows.runner` implements it.

The SDK inspects each member of a workflow's class when it is declared, and the sandbox declares it again for every
journey. A class with all of a journey's methods took an eighth of a worker's CPU time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from temporalio import workflow

from activities.interface import DELIVERY_DELAYED
from scenario.errors import ScenarioError
from workflows.runner import JourneyRunner
from workflows.updates import OperatorUpdates

Progress = dict[str, Any]


def update_of(name: str, description: str, check: Callable[[OperatorUpdates, Any], None] | None = None) -> Any:
    """Declare an update, which methods of `OperatorUpdates` check and execute.

    One that arrives before admission waits for it, and is checked then.
    """
    execute: Callable[[OperatorUpdates, Any], Progress | Awaitable[Progress]] = getattr(OperatorUpdates, name)
    checks: Callable[[OperatorUpdates, Any], None] = check or getattr(OperatorUpdates, f"check_{name}")

    @workflow.update(name=name, description=description)
    async def handle(self: Any, argument: Any = None, *_: Any) -> dict[str, Any]:
        updates: OperatorUpdates = self.runner.updates
        if updates.is_entering:
            await updates.admission()
            checks(updates, argument)
        answer = execute(updates, argument)
        return await answer if isawaitable(answer) else answer

    @handle.validator
    def validate(self: Any, argument: Any = None, *_: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        updates: OperatorUpdates = self.runner.updates
        if updates.is_entering:
            updates.check_record(argument)
        else:
            checks(updates, argument)

    return handle


@workflow.defn(name="Journey", failure_exception_types=[ScenarioError])
class Journey:
    """A run of one contact through one scenario.

    The argument is an entry, in plain JSON: see the contract in `docs/integrate/journeys.md`. The result is
    ``{"outcome", "reason", "version", "steps"}``. Every update takes ``{"operator": …, "reason": …}`` and returns the
    journey's progress.
    """

    @workflow.init
    def __init__(self, argument: Any = None, *_: Any) -> None:
        """Take up the state of the previous run: updates may arrive with the first workflow task, before `run`."""
        self.runner = JourneyRunner(argument)

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> dict[str, Any]:
        """Run the journey to its end."""
        return await self.runner.run(argument)

    @workflow.signal(name="event", description='Something happened: {"name", "properties", optionally "id" and "at"}.')
    def event(self, message: Any = None, *_: Any) -> None:
        """Receive an event."""
        self.runner.inbox.event(message)

    @workflow.signal(name="contact_changed", description="Fields of the contact that have changed.")
    def contact_changed(self, patch: Any = None, *_: Any) -> None:
        """Receive changed fields of the contact."""
        self.runner.inbox.contact_changed(patch)

    @workflow.signal(name=DELIVERY_DELAYED, description="From a worker: the delivery in flight will be tried again.")
    def delivery_delayed(self, report: Any = None, *_: Any) -> None:
        """Receive an `activities.interface.DelayReport`."""
        self.runner.inbox.delivery_delayed(report)

    @workflow.query(name="progress", description="Where the journey is, what it did, and why it waits.")
    def progress(self) -> dict[str, Any]:
        """Return the journey's progress; see `docs/integrate/journeys.md` for the fields."""
        return self.runner.updates.progress()

    retry_step = update_of("retry_step", "Tries the held step again, under the same delivery id.")
    retune = update_of("retune", "Changes the retry policy of the delivery in flight immediately.")
    skip_step = update_of("skip_step", "Skips the current step and continues with the next.")
    leave = update_of("leave", "Ends the journey.")
    pause = update_of("pause", "Starts no further step until resumed. A delivery in flight continues.")
    resume = update_of("resume", "Continues a paused journey.")
    migrate = update_of("migrate", "Continues the journey in another version of its scenario.")
