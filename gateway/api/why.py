"""``/v1/contacts/{contact}/why``: why a contact did, or did not, get something."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from gateway.api.app_state import Client
from gateway.api.authorization import Reading
from gateway.api.problem import problems
from gateway.service.view import Moment
from gateway.why.why import WhyView

router = APIRouter(tags=["contacts"])


@router.get("/contacts/{contact:path}/why", responses=problems("not-found"))
async def explain_contact(
    contact: Annotated[str, Path(max_length=300, description="The contact's id")],
    client: Client,
    caller: Reading,
    scenario: Annotated[
        str | None,
        Query(max_length=100, description="Only entries to this scenario; required with a key for some scenarios"),
    ] = None,
    step: Annotated[
        str | None,
        Query(max_length=200, description="Answer whether the contact got this message, and why"),
    ] = None,
    since: Annotated[Moment | None, Query(description="Only entries then or later")] = None,
    limit: Annotated[int, Query(ge=1, le=250, description="Maximum number of entries, the newest")] = 20,
) -> WhyView:
    """Explain why a contact did, or did not, get something: its entries, and what happened since."""
    return await client.reads.why(caller, contact, scenario, step=step, since=since, limit=limit)
