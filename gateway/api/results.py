"""``/v1/results``: what came of a scenario's goal, by the branches of each split, and against those who got nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from gateway import results as made
from gateway.api.app_state import Client
from gateway.api.authorization import Reading
from gateway.api.moment import Moment
from gateway.api.problem import Problem, problems
from gateway.api.scenarios import Name
from gateway.service.scenarios import require

router = APIRouter(tags=["scenarios"])


class ArmBody(BaseModel):
    """Those who were treated alike."""

    name: str = Field(description="The branch, `all`, `control` or `holdout`")
    entered: int
    reached: int
    open: int = Field(description="How many have not reached the goal, and still have time")
    rate: float | None
    interval: tuple[float, float] = Field(description="Where the true rate is, in 95 of 100 cases")
    value: str = Field(description="What the goals were worth together, as an exact decimal")
    value_each: str | None = Field(description="For each who came in")
    uplift: float | None = Field(description="How much more often than the baseline: 0.1 is ten per cent more")
    p: float | None = Field(description="How often chance alone would part them so far")
    is_too_small: bool


class ComparisonBody(BaseModel):
    """The branches of a split, or all who went through, beside those who got nothing."""

    split: str | None
    baseline: str | None
    mismatch: float | None = Field(description="Where shares came out otherwise than drawn: how seldom chance does so")
    undrawn: int
    arms: list[ArmBody]


class ResultsBody(BaseModel):
    """What came of a scenario's goal."""

    scenario: str
    versions: list[int]
    goal: dict[str, Any] | None
    is_same_goal: bool
    goalless: int
    entered: int
    contacts: int
    reached: int
    open: int
    control_mismatch: float | None
    comparisons: list[ComparisonBody]


@router.get("/results/{name}", responses=problems("not-found"))
async def show_results(
    name: Name,
    client: Client,
    caller: Reading,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Only those whom this one let in")] = None,
    since: Annotated[Moment | None, Query(description="Only those who were let in then or later")] = None,
) -> ResultsBody:
    """How many reached a scenario's goal: by the branches of each split, and against those who got nothing."""
    caller.check(name)
    newest = await require(client.store, name, hint=caller.scenarios is None)
    if version is not None and await client.store.version(name, version) is None:
        raise Problem("not-found", f"{name} has no version {version}: the newest is {newest}")
    found = await made.results(client.store, name, datetime.now(UTC), version=version, since=since)
    return ResultsBody.model_validate(made.as_json(found))
