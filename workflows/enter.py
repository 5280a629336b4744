"""The workflow `Enter`, which starts a journey, and workflows of unknown types, which fail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from temporalio import workflow
from temporalio.common import RawValue, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError
from temporalio.workflow import ChildWorkflowCancellationType, ChildWorkflowHandle, ParentClosePolicy

from activities.background import IDENTIFY, EntryIdentity, IdentityRequest
from activities.interface import JOURNEYS
from activities.priority import priority_of
from runtime.search_attributes import CONTACT_ID, SCENARIO_NAME
from scenario.entry.entry import is_entry, is_too_deep, parse_entry
from workflows.limits import TOO_MANY_PARTS, has_too_many_parts
from workflows.primitives import call, wait


@workflow.defn(dynamic=True)
class UnknownWorkflow:
    """Fails workflows of a type that is not registered, with a readable error instead of endless retries."""

    @workflow.run
    async def run(self, args: Sequence[RawValue]) -> Any:
        raise ApplicationError(
            f"There is no workflow type '{workflow.info().workflow_type}' here: start 'Journey'",
            type="UnknownWorkflowType",
            non_retryable=True,
        )


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
            message = "The argument of Enter must be one JSON object with 'scenario', 'contact' and 'trigger'"
            raise _failure(message, "NotAnEntry")
        if is_too_deep(argument):
            raise _failure("the entry is nested too deeply")
        if has_too_many_parts(argument):
            raise _failure(TOO_MANY_PARTS)
        identified = await call(IDENTIFY, IdentityRequest(entry=argument, now=workflow.now().isoformat()))
        if identified.refused:
            raise _failure(identified.refused)
        try:
            journey = await _start(argument, identified)
        except WorkflowAlreadyStartedError:
            if not identified.joins:
                name = parse_entry(argument).name
                raise _failure(f"the contact is in {name} already, as {identified.workflow_id}") from None
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
        raise _failure(f"the journey {journey.id} failed: see there") from None
    if result["outcome"] == "refused":
        raise _failure(result["reason"])


def _failure(reason: str, kind: str = "NotEntered") -> ApplicationError:
    return ApplicationError(reason, type=kind, non_retryable=True)
