"""``/v1/stats``: how many people are where in a scenario."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.app_state import Client
from gateway.api.authorization import Reading
from gateway.api.problem import Problem, problems
from gateway.api.scenarios import Name
from gateway.service.scenarios import require

router = APIRouter(tags=["scenarios"])


class _Body(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class NowBody(_Body):
    """Journeys under way by what they are doing, as Temporal's search knows, some moments late."""

    waiting: int = Field(description="For a time, an event, or until a delivery may leave")
    held: int = Field(description="For an operator's decision")
    paused: int = Field(description="By an operator")
    running: int = Field(description="On their way between steps, or sending")


class StepStatsBody(_Body):
    """One step. Counts are by outcome; one that is not there is 0."""

    id: str
    kind: str
    what: str = Field(description="The step in a few words")
    now: NowBody | None = Field(
        description="Who stands at it; while a journey sends, search has the step at which it waited last. Null where "
        "search does not answer"
    )
    passed: dict[str, int] = Field(
        description="Journeys that are through with it, as far back as counts are kept: of journeys that are over, or "
        "went on in another run. What those under way passed since is not in it yet"
    )
    passed_lately: dict[str, int] = Field(description="Those among `passed` since `since`")
    attempts: dict[str, int] | None = Field(
        description="Of a step that sends: attempts since `since`, of journeys under way as well. Else null"
    )
    skipped: dict[str, int] = Field(description="Why attempts among these were skipped")
    trying_again: int = Field(description="Deliveries that wait for their next attempt")


class VersionStatsBody(_Body):
    """One version."""

    version: int
    is_newest: bool = Field(description="Whether those who come in now follow it")
    entered: int = Field(description="How many it let in")
    under_way: int = Field(description="How many follow it now")
    over: dict[str, int] = Field(description="How many followed it at their end, by how they ended")
    now: NowBody | None
    steps: list[StepStatsBody] = Field(description="In the order of the scenario")


class StatsBody(_Body):
    """A scenario in numbers."""

    scenario: str
    as_of: datetime = Field(description="When they were counted: some seconds ago, for all who ask")
    since: datetime = Field(description="When the last day began")
    versions: list[VersionStatsBody] = Field(description="The newest first")
    trouble: str = Field(description="Why nobody knows who stands where; empty where that is known")


@router.get("/stats/{name}", operation_id="showStats", responses=problems("not-found"))
async def show_stats(
    name: Name,
    client: Client,
    caller: Reading,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Only this one")] = None,
) -> StatsBody:
    """How many people stand at each step of a scenario, and how many passed.

    Without `version`: the newest, and those that journeys follow or passed a step of in the last day.
    """
    caller.check(name)
    newest = await require(client.store, name, hint=caller.scenarios is None)
    if version is not None and await client.store.version(name, version) is None:
        raise Problem("not-found", f"{name} has no version {version}: the newest is {newest}")
    return StatsBody.model_validate(await client.stats(name, version))
