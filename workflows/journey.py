"""The workflows `Journey`, as Temporal starts it, and `Enter`, which starts one. `workflows.runner` runs journeys.

The SDK inspects each member of a workflow's class when it is declared, and the sandbox declares it again for every
journey. A class with all of a journey's methods took an eighth of a worker's CPU time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from inspect import isawaitable
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RawValue, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ChildWorkflowError, WorkflowAlreadyStartedError
from temporalio.workflow import ChildWorkflowCancellationType, ChildWorkflowHandle, ParentClosePolicy

from activities.background import IDENTIFY, EntryIdentity, IdentityRequest
from activities.interface import DELIVERY_DELAYED, JOURNEYS, priority_of
from runtime.search_attributes import CONTACT_ID, SCENARIO_NAME
from scenario.entry.entry import is_entry, parse_entry
from scenario.errors import ScenarioError
from workflows.limits import too_large
from workflows.primitives import AN_ENTRY, bad_argument, call, failure, wait
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
        return await self.runner.run(argument)

    @workflow.signal(name="event", description='Something happened: {"name", "properties", optionally "id" and "at"}.')
    def event(self, message: Any = None, *_: Any) -> None:
        self.runner.inbox.event(message)

    @workflow.signal(name="contact_changed", description="Fields of the contact that have changed.")
    def contact_changed(self, patch: Any = None, *_: Any) -> None:
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


@workflow.defn(dynamic=True)
class UnknownWorkflow:
    """Fails workflows of a type that is not registered, with a readable error instead of endless retries."""

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> Any:
        kind = workflow.info().workflow_type
        raise failure(f"There is no workflow type '{kind}' here: start 'Journey'", "UnknownWorkflowType")


_SETTLE: Final = timedelta(seconds=5)
"""Time to wait for a refusal. A later one is only in the journey's own result."""


@workflow.defn(name="Enter")
class Enter:
    """Starts the journey of an entry under its workflow id, and ends.

    The argument is that of a `Journey`: see the contract in `docs/integrate/journeys.md`. The result is
    ``{"journey", "run", "already"}``. The run of a journey that was already running is unknown.
    """

    @workflow.run
    async def run(self, argument: Any = None, *_: Any) -> dict[str, Any]:
        """Start the journey.

        Raise ApplicationError if the argument is not an entry, or the contact is refused. The text states why.
        """
        if not is_entry(argument):
            raise bad_argument("Enter", AN_ENTRY, "NotAnEntry")
        if reason := too_large(argument):
            raise failure(reason, "NotEntered")
        identified = await call(IDENTIFY, IdentityRequest(entry=argument, now=workflow.now().isoformat()))
        if identified.refused:
            raise failure(identified.refused, "NotEntered")
        try:
            journey = await _start(argument, identified)
        except WorkflowAlreadyStartedError:
            if not identified.joins:
                name = parse_entry(argument).name
                raise failure(f"the contact is in {name} already, as {identified.workflow_id}", "NotEntered") from None
            return {"journey": identified.workflow_id, "run": None, "already": True}
        await _settle(journey)
        return {"journey": journey.id, "run": journey.first_execution_run_id, "already": False}


async def _start(data: dict[str, Any], identified: EntryIdentity) -> ChildWorkflowHandle[Any, Any]:
    entry = parse_entry(data)
    attributes = [
        SearchAttributePair(SCENARIO_NAME, entry.name),
        SearchAttributePair(CONTACT_ID, entry.contact_id),
    ]
    return await workflow.start_child_workflow(
        "Journey",
        data,
        id=identified.workflow_id,
        task_queue=JOURNEYS,
        # Neither the end nor the cancellation of this workflow affects the journey.
        parent_close_policy=ParentClosePolicy.ABANDON,
        cancellation_type=ChildWorkflowCancellationType.ABANDON,
        static_summary=identified.summary,
        search_attributes=TypedSearchAttributes(attributes),
        priority=priority_of(identified.purpose),
    )


async def _settle(journey: ChildWorkflowHandle[Any, Any]) -> None:
    """Wait for a journey that is refused or fails immediately, and raise if it does."""
    if not await wait(journey.done, _SETTLE, "a refusal would come by then"):
        return
    try:
        result: Any = await journey
    except ChildWorkflowError:
        raise failure(f"the journey {journey.id} failed: see there", "NotEntered") from None
    if result["outcome"] == "refused":
        raise failure(result["reason"], "NotEntered")
