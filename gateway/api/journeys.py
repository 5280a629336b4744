"""``/v1/journeys``: lists journeys and shows one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateway.api.app_state import Client
from gateway.api.authorization import Reading
from gateway.api.cursor import Paging
from gateway.api.problem import problems
from gateway.service.index import JourneyFilter
from gateway.service.journey_view import JourneyView
from gateway.service.listing import JourneySummary
from gateway.service.view import Moment, PageView
from scenario.source.findings import listed
from scenario.words import LISTED

router = APIRouter(tags=["journeys"])


def _listed(state: str) -> str:
    if state not in LISTED:
        raise PydanticCustomError("enum", "", {"expected": listed(LISTED)})
    return state


ListedState = Annotated[str, AfterValidator(_listed), WithJsonSchema({"enum": [*LISTED], "type": "string"})]

Journey = Annotated[
    str,
    Path(
        alias="id",
        min_length=1,
        max_length=1000,
        description="The journey's id, slashes and all, or with %2F for them",
        examples=["post-purchase/3028687/CGX0094"],
    ),
]


@router.get("/journeys")
async def list_journeys(
    client: Client,
    caller: Reading,
    page: Paging,
    scenario: Annotated[
        str | None, Query(max_length=100, description="Only those of this one; keys for some scenarios need it")
    ] = None,
    version: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="Only those of its version of this number")
    ] = None,
    contact: Annotated[str | None, Query(max_length=300, description="Only this contact's")] = None,
    state: Annotated[ListedState | None, Query(description="Only those that are doing this, or have ended so")] = None,
    step: Annotated[str | None, Query(max_length=300, description="Only those under way that stand here")] = None,
    destination: Annotated[
        str | None, Query(max_length=300, description="Only those held because of this destination, or host")
    ] = None,
    reason: Annotated[
        str | None, Query(max_length=50, description="Only those held for this, in one word", examples=["exhausted"])
    ] = None,
    since: Annotated[
        Moment | None, Query(description="Only those let in then or later; of held ones, those held since then")
    ] = None,
) -> PageView[JourneySummary]:
    """List journeys, newest first; with `state=held`, `destination` or `reason`, held journeys.

    States lag by some moments. With a `step`, or the `state` of running journeys, a page may have fewer than `limit`
    journeys, or none, although more follow: use `next`.
    """
    wanted = JourneyFilter(
        scenario=scenario,
        version=version,
        contact=contact,
        step=step,
        destination=destination,
        reason=reason,
        since=since,
    )
    caller.check(scenario)
    wanted.check()
    return await client.reads.journeys(caller, wanted, state, page)


@router.get("/journeys/{id:path}", responses=problems("not-found"))
async def show_journey(
    journey: Journey,
    client: Client,
    caller: Reading,
    run: Annotated[
        str | None, Query(max_length=100, description="One of its runs; by default the one that was admitted last")
    ] = None,
) -> JourneyView:
    """Return one journey, step by step, with its deliveries and operations."""
    return JourneyView.of(await client.reads.journey(caller, journey, run))
