"""The feed of outgoing events, for engines that pull."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from gateway.api.authorization import Reading
from gateway.api.batch import LINES
from gateway.api.parameters import Use
from gateway.api.problem import problems
from gateway.service.outgoing import LONGEST_WAIT
from scenario.words import EventType

CURSOR: Final = "Feed-Cursor"  # the response header with the cursor to continue at
router = APIRouter(tags=["feed"])


@router.get(
    "/feed",
    response_class=Response,
    responses={
        **problems("not-found"),
        200: {
            "content": {LINES: {"schema": {"type": "string"}}},
            "headers": {CURSOR: {"description": "The `after` of the next request", "schema": {"type": "string"}}},
        },
    },
)
async def read_feed(
    request: Request,
    use: Use,
    caller: Reading,
    after: Annotated[
        str | None,
        Query(
            max_length=20,
            description="The `Feed-Cursor` of the answer before, or the `sequence` of the last event; `latest` for "
            "events from now on; without it, from the oldest event that is kept",
        ),
    ] = None,
    types: Annotated[list[EventType] | None, Query(alias="type", description="Only events of these types")] = None,
    scenarios: Annotated[
        list[str] | None, Query(alias="scenario", max_length=100, description="Only events of these scenarios")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Maximum number of events")] = 100,
    wait: Annotated[
        float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait for an event if there is none yet")
    ] = 0.0,
) -> Any:
    """Return outgoing events in order, each as a CloudEvent on a line. A key for some scenarios gets theirs."""
    part = await use.outgoing.feed(
        caller, after, types=types, scenarios=scenarios, limit=limit, wait=wait, gone=request.is_disconnected
    )
    return Response(b"".join(line + b"\n" for line in part.lines), media_type=LINES, headers={CURSOR: part.cursor})
