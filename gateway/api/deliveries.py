"""``/v1/deliveries``: recorded delivery attempts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.api.app_state import Client
from gateway.api.authorization import Reading
from gateway.api.cursor import Paging
from gateway.service.journey_view import AttemptView
from gateway.service.view import Moment, PageView
from scenario.words import AttemptOutcome

router = APIRouter(tags=["deliveries"])


@router.get("/deliveries")
async def list_deliveries(
    client: Client,
    caller: Reading,
    page: Paging,
    journey: Annotated[str | None, Query(max_length=1000, description="Only this journey's")] = None,
    contact: Annotated[str | None, Query(max_length=200, description="Only those to this contact")] = None,
    destination: Annotated[str | None, Query(max_length=300, description="Its name, the host, or the provider")] = None,
    scenario: Annotated[
        str | None, Query(max_length=100, description="Only this one's; keys for some scenarios need it")
    ] = None,
    delivery: Annotated[str | None, Query(max_length=100, description="Only this delivery's")] = None,
    outcome: Annotated[AttemptOutcome | None, Query(description="Only those with this outcome")] = None,
    error: Annotated[
        str | None, Query(max_length=100, description="Only those with this kind of error; of what was skipped, why")
    ] = None,
    since: Annotated[Moment | None, Query(description="Only those that began then or later")] = None,
) -> PageView[AttemptView]:
    """List delivery attempts, newest first."""
    return await client.reads.deliveries(
        caller,
        page,
        scenario=scenario,
        workflow_id=journey,
        contact_id=contact,
        destination=destination,
        delivery_id=delivery,
        outcome=outcome,
        error=error,
        since=since,
    )
