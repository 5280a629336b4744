"""``/v1/journeys``, ``/v1/deliveries`` and ``/v1/batches``: journeys, attempts of deliveries, and batch calls."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateway.api.authentication import Looking, Reading
from gateway.api.body import Contents, JourneyId, Paging, ScenarioFilter, Use
from gateway.api.problem import problems
from scenario.source.findings import listed
from scenario.words import LISTED, AttemptOutcome, ItemOutcome
from service.authoring import ContentView
from service.batches import BatchItemView, BatchView
from service.index import JourneyFilter
from service.journeys.view import AttemptView, JourneyView
from service.listing import JourneySort, JourneySummary
from service.view import Moment, PageView

router = APIRouter(tags=["journeys"])
deliveries = APIRouter(tags=["deliveries"])


def _listed(state: str) -> str:
    if state not in LISTED:
        raise PydanticCustomError("enum", "", {"expected": listed(LISTED)})
    return state


ListedState = Annotated[str, AfterValidator(_listed), WithJsonSchema({"enum": [*LISTED], "type": "string"})]


@router.get("/journeys")
async def list_journeys(
    use: Use,
    caller: Reading,
    page: Paging,
    scenario: ScenarioFilter = None,
    version: Annotated[
        int | None, Query(ge=1, le=2**31 - 1, description="Only those of this version; goes with `scenario`")
    ] = None,
    contact: Annotated[str | None, Query(max_length=300, description="Only those of this contact")] = None,
    state: Annotated[ListedState | None, Query(description="Only those in this state")] = None,
    step: Annotated[str | None, Query(max_length=300, description="Only running journeys at this step")] = None,
    destination: Annotated[
        str | None,
        Query(
            max_length=300,
            description="Only those held or, with `state=retrying`, retrying because of this destination or host",
        ),
    ] = None,
    reason: Annotated[
        str | None, Query(max_length=50, description="Only those held for this cause", examples=["exhausted"])
    ] = None,
    since: Annotated[
        Moment | None, Query(description="Only those admitted then or later; held journeys: held then or later")
    ] = None,
    until: Annotated[Moment | None, Query(description="Only those admitted, or held, before then")] = None,
    sort: Annotated[
        JourneySort,
        Query(
            description="The order; with `-`, the newest first. By the end: only journeys that have ended, and `since`"
            " and `until` are about the end. Running journeys in a state or at a step: `-started` only"
        ),
    ] = "-started",
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
    return await use.journeys.list(caller, wanted, state, page, until=until, sort=sort)


@router.get("/journeys/{id:path}", responses=problems("not-found"))
async def show_journey(
    journey: JourneyId,
    use: Use,
    caller: Reading,
    run: Annotated[
        str | None,
        Query(
            max_length=100,
            description="One of its runs; by default the running one, or else the one that was admitted last",
        ),
    ] = None,
) -> JourneyView:
    """Return one journey, step by step, with its deliveries and operations."""
    return JourneyView.of(await use.journeys.show(caller, journey, run))


@deliveries.get("/deliveries")
async def list_deliveries(
    use: Use,
    caller: Reading,
    page: Paging,
    journey: Annotated[str | None, Query(max_length=1000, description="Only those of this journey")] = None,
    contact: Annotated[str | None, Query(max_length=200, description="Only those to this contact")] = None,
    destination: Annotated[
        str | None, Query(max_length=300, description="Only those to this destination, host or provider")
    ] = None,
    scenario: ScenarioFilter = None,
    delivery: Annotated[str | None, Query(max_length=100, description="Only those of this delivery")] = None,
    outcome: Annotated[AttemptOutcome | None, Query(description="Only those with this outcome")] = None,
    error: Annotated[
        str | None, Query(max_length=100, description="Only those with this kind of error, or reason for skipping")
    ] = None,
    since: Annotated[Moment | None, Query(description="Only those that started then or later")] = None,
) -> PageView[AttemptView]:
    """List delivery attempts, newest first."""
    caller.check(scenario)
    return await use.journeys.deliveries(
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


@deliveries.get("/deliveries/{id}/content", responses=problems("not-found"))
async def show_content(
    delivery: Annotated[str, Path(alias="id", max_length=100, description="The delivery's id", examples=["msg_1"])],
    contents: Contents,
    caller: Looking,
) -> ContentView:
    """Render again what a delivery sent, with secrets masked. It is the contact's data, and each look is logged."""
    return await contents.show(caller, delivery)


batches = APIRouter(tags=["batch calls"])
BatchId = Annotated[str, Path(alias="id", min_length=1, max_length=80, description="The batch's id")]


@batches.get("/batches")
async def list_batches(use: Use, caller: Reading, page: Paging) -> PageView[BatchView]:
    """List batch calls, the newest first."""
    return await use.batches.list(caller, page)


@batches.get("/batches/{id}", responses=problems("not-found"))
async def show_batch(batch: BatchId, use: Use, caller: Reading) -> BatchView:
    """Return a batch call."""
    return await use.batches.show(caller, batch)


@batches.get("/batches/{id}/items", responses=problems("not-found"))
async def list_batch_items(
    batch: BatchId,
    use: Use,
    caller: Reading,
    page: Paging,
    outcome: Annotated[ItemOutcome | None, Query(description="Only those with this outcome")] = None,
) -> PageView[BatchItemView]:
    """List the contacts of a batch call in their order, with their outcomes."""
    return await use.batches.items(caller, batch, page, outcome)
