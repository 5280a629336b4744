"""Delivers the event of a callback to the one journey that its address was made for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError

from gateway.errors import BadInput
from runtime.callback import CallbackClaim
from runtime.temporal_faults import is_unknown_workflow
from scenario.entry.entry import LARGEST_EVENT, is_too_deep, is_too_large
from scenario.entry.plain_json import unread, unsent
from scenario.model.scalars import EventName

_CALL: Final = timedelta(seconds=5)
_TURNS: Final = 3
_ID: Final = 1024  # bytes that the id, which travels with the event, may take as JSON
_UNDER_WAY: Final = frozenset(
    {
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING,
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED,
    }
)

MOST_EVENTS: Final = 8_000
"""Events of a run's history beyond which outsiders are not heard: Temporal takes 10,000 signals, 51,200 events."""
MOST_BYTES: Final = 16 * 1024 * 1024
"""Bytes of a run's history beyond which outsiders are not heard: at 50 MB Temporal ends the journey.

A journey whose delivery is tried again for days cannot continue as new meanwhile; all it is told stays in that run.
"""

EventId = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")]
"""What tells a repeated event from another: visible ASCII."""


class Told(BaseModel):
    """An event as an outsider tells it: the body of a callback.

    Attributes:
        name: Such as ``whatsapp.replied``.
        properties: What conditions see as ``event.…``.
        id: Told twice under one id, it counts once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)

    name: EventName
    properties: dict[str, Any] = Field(default_factory=dict[str, Any])
    id: EventId | None = None

    @classmethod
    def parse(cls, content: bytes) -> Told:
        """Reads an event from JSON.

        Raises:
            BadInput: It is none; the sentence says what is wrong and quotes nothing.
        """
        try:
            return cls.model_validate_json(content).takeable()
        except ValidationError as error:
            broken = error.errors(include_url=False)[0]["type"] == "json_invalid"
            raise BadInput((broken and unread(content, "the body", f"send {_SUCH}")) or _wrong(error)) from None

    @classmethod
    def make(cls, name: str, properties: Mapping[str, Any]) -> Told:
        """Makes an event of what a program says.

        Raises:
            BadInput: It is none; the sentence says what is wrong and quotes nothing.
        """
        try:
            return cls(name=name, properties=dict(properties)).takeable()
        except ValidationError as error:
            raise BadInput(_wrong(error)) from None

    def takeable(self) -> Told:
        """The event itself, where a journey takes it: what it cannot take it ignores, and nobody would know.

        Raises:
            BadInput: It does not; the sentence says why.
        """
        data = {"name": self.name, "properties": self.properties}
        try:
            # Infinities and NaN would fail on their way.
            json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError):
            raise BadInput(unsent(data, "the event")) from None
        if is_too_deep(data):
            raise BadInput("the event's properties are nested too deeply")
        if is_too_large(data, LARGEST_EVENT - _ID):
            raise BadInput(f"the event is larger than {LARGEST_EVENT // 1024} KB: leave out what no condition names")
        return self


_SUCH: Final = 'an object such as {"name": "whatsapp.replied", "properties": {}}'
_WANTED: Final = {
    "name": "'name' must be an event's name, such as whatsapp.replied",
    "properties": "'properties' must be an object",
    "id": "'id' must be 1 to 128 visible ASCII characters",
}


def _wrong(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_context=False, include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"the body is not JSON: send {_SUCH}"
    if first["type"] == "extra_forbidden":
        return "an event has 'name', 'properties' and 'id', and nothing else"
    field = str(first["loc"][0]) if first["loc"] else ""
    return _WANTED.get(field, f"the body must be {_SUCH}")


class Unsettled(Exception):
    """The journey went from run to run faster than it could be told. Try again."""


class Overfull(Unsettled):
    """The journey's run has been told as much as it can bear. It may be told again in the next."""


async def tell(temporal: Client, claim: CallbackClaim, event: Told, identifier: str | None = None) -> bool:
    """Tells the journey of a claim.

    A later journey of the same workflow id is not told: each run that continues a journey knows which run was its
    first, and that is compared. The signal goes to the very run that was looked at, so that nothing can come between.

    Args:
        temporal: A client of the journeys' namespace.
        claim: Of a verified token.
        event: What happened.
        identifier: Told twice under one identifier, it counts once. It is kept apart from those of the engine and of
            other deliveries: nobody can take away an event that somebody else is going to tell.

    Returns:
        False where that journey is over.

    Raises:
        RPCError: Temporal does not answer, or refuses.
        Unsettled: See there, and `Overfull`.
    """
    message: dict[str, Any] = {"name": event.name, "properties": event.properties}
    if identifier is not None:
        message["id"] = f"{claim.delivery_id}/{identifier}"
    for _ in range(_TURNS):
        run = await _run(temporal, claim)
        if run is None:
            return False
        try:
            handle = temporal.get_workflow_handle(claim.workflow_id, run_id=run)
            await handle.signal("event", message, rpc_timeout=_CALL)
        except RPCError as error:
            if not is_unknown_workflow(error):
                raise
            continue  # that run has just ended: the journey may go on in another
        return True
    raise Unsettled("the journey does not stand still")


async def _run(temporal: Client, claim: CallbackClaim) -> str | None:
    """The run in which the claim's journey is now; None where it is over.

    Raises:
        Overfull: See there.
    """
    # Not the handle's own describe(): it tells nothing of the first run, and cannot read a paused workflow.
    try:
        described = await temporal.workflow_service.describe_workflow_execution(
            DescribeWorkflowExecutionRequest(
                namespace=temporal.namespace, execution=WorkflowExecution(workflow_id=claim.workflow_id)
            ),
            retry=True,
            timeout=_CALL,
        )
    except RPCError as error:
        if not is_unknown_workflow(error):
            raise
        return None
    info = described.workflow_execution_info
    if info.first_run_id != claim.root or info.status not in _UNDER_WAY:
        return None
    if info.history_length > MOST_EVENTS or info.history_size_bytes > MOST_BYTES:
        raise Overfull("the journey's history is nearly full")
    return info.execution.run_id
