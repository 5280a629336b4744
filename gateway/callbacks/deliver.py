"""Sends the event of a callback to its journey."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.client import Client
from temporalio.service import RPCError

from gateway.errors import BadInput
from gateway.journeys.pending_activities import describe
from gateway.service.events import NO_NAME, NO_PROPERTIES, check_event
from runtime.public_links import CallbackClaim
from runtime.temporal_faults import is_unknown_workflow
from scenario.entry.plain_json import unread
from scenario.model.scalars import EventName

_CALL: Final = timedelta(seconds=5)
_TURNS: Final = 3
_UNDER_WAY: Final = frozenset(
    {
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING,
        WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_PAUSED,
    }
)

MOST_EVENTS: Final = 8_000
"""Number of events in a run's history after which callbacks are refused.

Temporal accepts 10,000 signals and 51,200 events.
"""
MOST_BYTES: Final = 16 * 1024 * 1024
"""Bytes of a run's history after which callbacks are refused. Temporal ends a journey at 50 MB.

A journey whose delivery is retried for days cannot continue as new meanwhile.
"""

EventId = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,128}$")]
"""The id of an event, for deduplication: visible ASCII."""


class CallbackEvent(BaseModel):
    """An event in the body of a callback, such as ``whatsapp.replied``."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, strict=True)

    name: EventName
    properties: dict[str, Any] = Field(default_factory=dict[str, Any])
    id: EventId | None = None

    @classmethod
    def parse(cls, content: bytes) -> CallbackEvent:
        """Read an event from JSON. Raise BadInput if it is malformed. The message quotes nothing."""
        try:
            event = cls.model_validate_json(content)
        except ValidationError as error:
            broken = error.errors(include_url=False)[0]["type"] == "json_invalid"
            raise BadInput((broken and unread(content, "the body", f"send {_SUCH}")) or _wrong(error)) from None
        check_event(event.name, event.properties)
        return event


_SUCH: Final = 'an object such as {"name": "whatsapp.replied", "properties": {}}'
_WANTED: Final = {"name": NO_NAME, "properties": NO_PROPERTIES, "id": "'id' must be 1 to 128 visible ASCII characters"}


def _wrong(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_context=False, include_url=False)[0]
    if first["type"] == "json_invalid":
        return f"the body is not JSON: send {_SUCH}"
    if first["type"] == "extra_forbidden":
        return "an event has 'name', 'properties' and 'id', and nothing else"
    field = str(first["loc"][0]) if first["loc"] else ""
    return _WANTED.get(field, f"the body must be {_SUCH}")


class Unsettled(Exception):
    """The journey continued as new faster than the event could be sent. Try again."""


class Overfull(Unsettled):
    """The journey's run has received too many events. Its next run may accept more."""


async def tell(temporal: Client, claim: CallbackClaim, event: CallbackEvent, identifier: str | None = None) -> bool:
    """Send an event to the journey of a claim. Return False if that journey has ended.

    A later journey of the same workflow id does not receive it: the first run's id is compared, and the signal names
    the run. The identifier, for deduplication, is separate for each delivery and from the engine's ids, so that no
    caller can suppress another sender's event. Raise RPCError if Temporal is unavailable or refuses, or Unsettled.
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
    """Return the current run of the claim's journey, or None if it has ended. Raise Overfull."""
    described = await describe(temporal, claim.workflow_id, patience=_CALL)
    if described is None:
        return None
    info = described.workflow_execution_info
    if info.first_run_id != claim.root or info.status not in _UNDER_WAY:
        return None
    if info.history_length > MOST_EVENTS or info.history_size_bytes > MOST_BYTES:
        raise Overfull("the journey's history is nearly full")
    return info.execution.run_id
