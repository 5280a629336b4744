"""``/v1/scenarios``; ``/v1/stats``, ``/v1/trends`` and ``/v1/results``, which count journeys; and ``/v1/overview``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field

from authoring.errors import CheckFailed
from authoring.publishing import Publication
from gateway.api.authentication import Operating, Publishing, Reading
from gateway.api.authoring import FindingBody, PublicationBody, bodies_of, described, source_of
from gateway.api.body import Author, Paging, RequestBody, ScenarioName, Use
from gateway.api.problem import ResponseBody, problems
from service.overview import OverviewView
from service.results import ResultsView
from service.scenarios import ClosedView, ScenarioView, VersionView
from service.stats import DAYS, MOST_DAYS, StatsView, TrendsView
from service.view import Moment, PageView

router = APIRouter(tags=["scenarios"])
Version = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Only this version")]


class EarlierBody(ResponseBody):
    """An earlier version with running journeys."""

    version: int
    journeys: int
    """Number of running journeys."""
    follows: bool
    """True if they move to the newest version as soon as they can."""


class PublishedBody(ResponseBody):
    """The published version."""

    scenario: str
    version: int
    """Its number; that of an earlier version if the content is not new."""
    newest: int
    """The number of the newest version, which new journeys take."""
    warnings: list[FindingBody]
    before: int | None
    """The version that was the newest before; null if this one is not new."""
    difference: str | None = Field(examples=["added: sms-2; changed: thank-you (subject, html)"])
    """The differences from that version."""
    redrawn: list[str]
    """Splits by which some contacts would now take another branch."""
    under_way: list[EarlierBody]

    @classmethod
    def of(cls, made: Publication) -> PublishedBody:
        difference, before = made.difference, f"{made.scenario}@{made.before}"
        return cls(
            scenario=made.scenario,
            version=made.version,
            newest=made.newest,
            warnings=bodies_of(made.warnings),
            before=made.before,
            difference=str(difference) if difference is not None else None,
            redrawn=[draw.since(before) for draw in difference.redrawn] if difference else [],
            under_way=[EarlierBody(**asdict(one)) for one in made.under_way],
        )


class CloseBody(RequestBody):
    """The reason for closing a scenario."""

    model_config = ConfigDict(extra="ignore")

    reason: str = Field(min_length=1, max_length=500, examples=["sold out"])
    """The reason, which refused entries receive."""


@router.get("/scenarios", responses=problems("not-found"))
async def list_scenarios(
    use: Use,
    caller: Reading,
    page: Paging,
    scenario: Annotated[str | None, Query(max_length=100, description="All versions of this scenario")] = None,
) -> PageView[VersionView]:
    """List the newest version of each scenario, and older versions with running journeys."""
    return await use.scenarios.list(caller, page, scenario)


@router.get("/scenarios/{name}", responses=problems("not-found"))
async def show_scenario(
    name: ScenarioName,
    use: Use,
    caller: Reading,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Its number; by default the newest")] = None,
) -> ScenarioView:
    """Return a published version with its content, and the list of all versions."""
    return await use.scenarios.show(caller, name, version)


@router.put("/scenarios/{name}", openapi_extra=described(PublicationBody), responses=problems("no-answer"))
async def publish_scenario(
    name: ScenarioName,
    request: Request,
    author: Author,
    caller: Publishing,
    journeys: Annotated[Literal["pin", "follow"] | None, Query(description="As in the body, for YAML")] = None,
    newest: Annotated[bool, Query(description="As in the body, for YAML")] = False,
) -> PublishedBody:
    """Check a scenario and store it as its next version. The same content again is the same version.

    If it has errors, nothing is stored, and `errors` has their lines and columns. Files that the scenario refers to are
    sent in `files`.
    """
    caller.check(name)
    sent = await source_of(request, journeys=journeys, newest=newest)
    try:
        made = await author.publish(caller, name, **dict(sent.body))
    except CheckFailed as error:
        raise sent.problem(error) from None
    return PublishedBody.of(made)


@router.post("/scenarios/{name}/close", responses=problems("not-found"))
async def close_scenario(name: ScenarioName, body: CloseBody, use: Use, caller: Operating) -> ClosedView:
    """Close a scenario to new entries immediately. Running journeys continue."""
    return await use.scenarios.close(caller, name, operator=caller.name, reason=body.reason)


@router.post("/scenarios/{name}/open", responses=problems("not-found"))
async def open_scenario(name: ScenarioName, use: Use, caller: Operating) -> ClosedView:
    """Open a scenario to new entries."""
    return await use.scenarios.open(caller, name)


@router.get("/stats/{name}", responses=problems("not-found"))
async def show_stats(name: ScenarioName, use: Use, caller: Reading, version: Version = None) -> StatsView:
    """Count the journeys at each step of a scenario, and those that have completed it.

    Without `version`: the newest version, and those that journeys use or completed a step of within the last day.
    """
    return await use.journeys.stats(caller, name, version)


@router.get("/trends/{name}", responses=problems("not-found"))
async def show_trends(
    name: ScenarioName,
    use: Use,
    caller: Reading,
    version: Version = None,
    days: Annotated[int, Query(ge=1, le=MOST_DAYS, description="Number of days, today included")] = DAYS,
) -> TrendsView:
    """Count by day (UTC) the journeys that completed each step of a scenario, and the attempts to send.

    Without `version`: the newest version, and those with counts.
    """
    return await use.journeys.trends(caller, name, version, days)


@router.get("/results/{name}", responses=problems("not-found"))
async def show_results(
    name: ScenarioName,
    use: Use,
    caller: Reading,
    version: Version = None,
    since: Annotated[Moment | None, Query(description="Only journeys admitted then or later")] = None,
) -> ResultsView:
    """Compare how many journeys reached the goal: by the branches of each split, and with the control group."""
    return await use.journeys.results(caller, name, version, since)


overview = APIRouter(tags=["overview"])


@overview.get("/overview")
async def show_overview(use: Use, caller: Reading) -> OverviewView:
    """Return what needs a person: held journeys, failing destinations, missing workers, troubled campaigns.

    A key for some scenarios sees the part of these scenarios.
    """
    return await use.overview.show(caller)
