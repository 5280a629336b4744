"""``/v1/scenarios``: publishes, shows, closes and opens scenarios."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from gateway.api.app_state import Authors, Client, Use
from gateway.api.authorization import Operating, Publishing, Reading
from gateway.api.cursor import Paging
from gateway.api.findings import FindingBody, failed
from gateway.api.problem import Mistake, Problem, problems
from gateway.api.source import PublicationBody, described, source_of
from gateway.publishing import Publication, publish_checked
from gateway.service.scenarios import ClosedView, ScenarioView, VersionView
from gateway.service.view import PageView
from scenario.model.document import load
from scenario.model.scalars import NAME
from scenario.source.findings import Finding

router = APIRouter(tags=["scenarios"])

Name = Annotated[str, Path(max_length=100, pattern=NAME, description="The scenario's name", examples=["post-purchase"])]


class EarlierBody(BaseModel):
    """An earlier version with running journeys."""

    version: int
    journeys: int = Field(description="How many")
    follows: bool = Field(description="Whether they go on in the newest version as soon as they can")


class PublishedBody(BaseModel):
    """The published version."""

    scenario: str
    version: int = Field(description="An earlier one's number where the content is not new")
    newest: int = Field(description="The newest version's number: new journeys take that")
    warnings: list[FindingBody]
    before: int | None = Field(description="The version that was the newest before; null where this one is not new")
    difference: str | None = Field(
        description="What is different from that one", examples=["added: sms-2; changed: thank-you (subject, html)"]
    )
    redrawn: list[str] = Field(description="Splits by which some contacts would now take another branch")
    under_way: list[EarlierBody]


class CloseBody(BaseModel):
    """The reason for closing a scenario."""

    reason: str = Field(
        min_length=1, max_length=500, description="Those who ask to come in are told", examples=["sold out"]
    )


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
    name: Name,
    use: Use,
    caller: Reading,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Its number; by default the newest")] = None,
) -> ScenarioView:
    """Return a published version with its content, and the list of all versions."""
    return await use.scenarios.show(caller, name, version)


@router.put("/scenarios/{name}", openapi_extra=described(PublicationBody), responses=problems("no-answer"))
async def publish_scenario(
    name: Name,
    request: Request,
    client: Client,
    authors: Authors,
    caller: Publishing,
    journeys: Annotated[Literal["pin", "follow"] | None, Query(description="As in the body, for YAML")] = None,
    newest: Annotated[bool, Query(description="As in the body, for YAML")] = False,
) -> PublishedBody:
    """Check a scenario and store it as its next version. The same content again is the same version.

    If it has errors, nothing is stored, and `errors` has their lines and columns. Files that the scenario refers to are
    sent in `files`.
    """
    caller.check(name)
    sent = await source_of(request)
    file = f"{name}.yaml"
    checked = await authors.check(caller.id, sent.body.source, sent.body.files, file)
    if checked["document"] is None:
        raise failed(checked["findings"], file, json=sent.is_json)
    made = load(checked["document"])
    if made.scenario != name:
        sentence = f"the file is the scenario '{made.scenario}': put it to /v1/scenarios/{made.scenario}"
        raise Problem("invalid", sentence, [Mistake(pointer="path:name", code="name", detail=sentence)])
    published = await publish_checked(
        made,
        client.store,
        caller.name,
        tuple(Finding(**item) for item in checked["findings"]),
        newest=newest if sent.body.newest is None else sent.body.newest,
        journeys=sent.body.journeys or journeys,
    )
    return _published(published)


@router.post("/scenarios/{name}/close", responses=problems("not-found"))
async def close_scenario(name: Name, body: CloseBody, use: Use, caller: Operating) -> ClosedView:
    """Close a scenario to new entries immediately. Running journeys continue."""
    return await use.scenarios.close(caller, name, operator=caller.name, reason=body.reason)


@router.post("/scenarios/{name}/open", responses=problems("not-found"))
async def open_scenario(name: Name, use: Use, caller: Operating) -> ClosedView:
    """Open a scenario to new entries."""
    return await use.scenarios.open(caller, name)


def _published(made: Publication) -> PublishedBody:
    version = f"{made.scenario}@{made.before}"
    return PublishedBody(
        scenario=made.scenario,
        version=made.version,
        newest=made.newest,
        warnings=[FindingBody(**finding.as_json()) for finding in made.warnings],
        before=made.before,
        difference=None if made.difference is None else str(made.difference),
        redrawn=[draw.since(version) for draw in made.difference.redrawn] if made.difference else [],
        under_way=[
            EarlierBody(version=item.version, journeys=item.journeys, follows=item.follows) for item in made.under_way
        ],
    )
