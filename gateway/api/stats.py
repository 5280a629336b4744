"""``/v1/stats`` and ``/v1/results``: the journeys of a scenario by step, and the results of its goal."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.api.app_state import Client
from gateway.api.authorization import Reading
from gateway.api.problem import problems
from gateway.api.scenarios import Name
from gateway.results import ResultsView
from gateway.service.view import Moment
from gateway.stats.stats import StatsView

router = APIRouter(tags=["scenarios"])

Version = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Only this version")]


@router.get("/stats/{name}", operation_id="showStats", responses=problems("not-found"))
async def show_stats(name: Name, client: Client, caller: Reading, version: Version = None) -> StatsView:
    """Count the journeys at each step of a scenario, and those that have completed it.

    Without `version`: the newest version, and those that journeys use or completed a step of within the last day.
    """
    return await client.reads.stats(caller, name, version)


@router.get("/results/{name}", responses=problems("not-found"))
async def show_results(
    name: Name,
    client: Client,
    caller: Reading,
    version: Version = None,
    since: Annotated[Moment | None, Query(description="Only journeys admitted then or later")] = None,
) -> ResultsView:
    """Compare how many journeys reached the goal: by the branches of each split, and with the control group."""
    return await client.reads.results(caller, name, version, since)
