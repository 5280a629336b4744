"""``/v1/scenarios``: publishes scenarios, shows what is published, closes and opens them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from gateway import publications
from gateway.api.app_state import Authors, Client
from gateway.api.authorization import Operating, Publishing, Reading
from gateway.api.cursor import Cursor, Limit
from gateway.api.findings import FindingBody, failed
from gateway.api.problem import Mistake, Problem, problems
from gateway.api.source import PublicationBody, described, source_of
from gateway.client import ScenarioClient
from gateway.publications import ListedVersion
from gateway.publishing import Publication, publish_checked
from gateway.service.paging import decode_cursor, encode_cursor
from runtime.store import Closure
from scenario.model.document import document, load
from scenario.model.scalars import NAME
from scenario.plan.plan import load_plan
from scenario.source.findings import Finding

router = APIRouter(tags=["scenarios"])

Name = Annotated[str, Path(max_length=100, pattern=NAME, description="The scenario's name", examples=["post-purchase"])]
_MOST_VERSIONS: Final = 250


class ClosureBody(BaseModel):
    """Since when a scenario lets nobody in."""

    at: datetime
    by: str = Field(description="Who closed it")
    reason: str


class VersionBody(BaseModel):
    """A published version."""

    scenario: str
    version: int
    newest: bool = Field(description="Whether new journeys take it, unless their entry names another")
    published_at: datetime
    published_by: str
    journeys: str = Field(description="`pin` or `follow`")
    under_way: int = Field(description="How many journeys follow it")
    closed: ClosureBody | None = Field(description="Since when its scenario lets nobody in; null where it is open")


class Versions(BaseModel):
    """A page of versions."""

    items: list[VersionBody]
    next: str | None = Field(description="The `cursor` of the next page; null where there is none")


class StepBody(BaseModel):
    """A step of a plan."""

    id: str
    kind: str
    what: str = Field(description="In plain words")


class ScenarioBody(BaseModel):
    """A version with what is in it, and which others there are."""

    version: VersionBody
    document: dict[str, Any] = Field(description="The scenario as it is stored: files inlined, defaults written out")
    trigger: str
    events: list[str] = Field(description="The events that steps and exit rules wait for")
    steps: list[StepBody]
    versions: list[VersionBody] = Field(description="All of its versions, the newest first; of many the newest 250")


class EarlierBody(BaseModel):
    """An earlier version that journeys are under way in."""

    version: int
    journeys: int = Field(description="How many")
    follows: bool = Field(description="Whether they go on in the newest version as soon as they can")


class PublishedBody(BaseModel):
    """What was published."""

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
    """Why a scenario is closed."""

    reason: str = Field(
        min_length=1, max_length=500, description="Those who ask to come in are told", examples=["sold out"]
    )


class ClosedBody(BaseModel):
    """Whether a scenario lets contacts in."""

    scenario: str
    changed: bool = Field(description="False where it was so already")
    closed: ClosureBody | None = Field(description="Since when it lets nobody in; null where it is open")


class _Place(TypedDict):
    scenario: str
    version: int


@router.get("/scenarios", responses=problems("not-found"))
async def list_scenarios(
    client: Client,
    caller: Reading,
    scenario: Annotated[str | None, Query(max_length=100, description="All versions of this one")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Versions:
    """What is published: of each scenario the newest version, and those that journeys still follow."""
    if scenario is not None:
        caller.check(scenario)
        await require(client, scenario)
    found = [
        item for item in await publications.versions(client.store, scenario) if caller.may_use(item.published.scenario)
    ]
    found.sort(key=_order)  # as databases sort, it depends on them
    after = decode_cursor(cursor, _Place) if cursor else None
    if after is not None:
        found = [item for item in found if _order(item) > (after["scenario"], -after["version"])]
    page = found[:limit]
    last = page[-1].published if len(found) > limit else None
    following = encode_cursor({"scenario": last.scenario, "version": last.version}) if last else None
    return Versions(items=[_version(item) for item in page], next=following)


@router.get("/scenarios/{name}", responses=problems("not-found"))
async def show_scenario(
    name: Name,
    client: Client,
    caller: Reading,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Its number; the newest without it")] = None,
) -> ScenarioBody:
    """A published version: what is in it, and which others there are."""
    caller.check(name)
    await require(client, name)
    listed = await publications.versions(client.store, name)
    shown = next((item for item in listed if version in (None, item.published.version)), None)
    stored = shown and await client.store.version(name, shown.published.version)
    if shown is None or stored is None:
        raise Problem("not-found", f"there is no version {version} of {name}: its newest is {name}@{_newest(listed)}")
    plan = load_plan(stored.plan)
    return ScenarioBody(
        version=_version(shown),
        document=document(load(stored.document)),
        trigger=str(stored.document["trigger"]),
        events=sorted(plan.events),
        steps=[StepBody(id=step, kind=row.kind, what=row.describe()) for step, row in plan.steps.items()],
        versions=[_version(item) for item in listed[:_MOST_VERSIONS]],
    )


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
    """Checks a scenario and stores it as its next version; the same content again is the same version.

    Nothing is stored where it has mistakes: `errors` then has their lines and columns. Files that it refers to are
    sent with it, in `files`.
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
async def close_scenario(name: Name, body: CloseBody, client: Client, caller: Operating) -> ClosedBody:
    """Lets nobody into a scenario any more, at once. Journeys under way go on."""
    caller.check(name)
    await require(client, name)
    changed = await publications.close(client.store, name, operator=caller.name, reason=body.reason)
    return ClosedBody(scenario=name, changed=changed, closed=_closure(await client.store.closure(name)))


@router.post("/scenarios/{name}/open", responses=problems("not-found"))
async def open_scenario(name: Name, client: Client, caller: Operating) -> ClosedBody:
    """Lets contacts into a closed scenario again."""
    caller.check(name)
    await require(client, name)
    changed = await publications.reopen(client.store, name)
    return ClosedBody(scenario=name, changed=changed, closed=_closure(await client.store.closure(name)))


async def require(client: ScenarioClient, name: str) -> int:
    """Makes sure that there is a scenario. Returns the number of its newest version.

    Raises:
        Problem: There is none of that name.
    """
    newest = await client.store.newest(name)
    if newest is None:
        raise Problem("not-found", f"there is no scenario '{name}': GET /v1/scenarios lists those that are published")
    return newest


def _order(item: ListedVersion) -> tuple[str, int]:
    return item.published.scenario, -item.published.version


def _newest(listed: list[ListedVersion]) -> int:
    return listed[0].published.version


def _version(item: ListedVersion) -> VersionBody:
    told = item.published
    return VersionBody(
        scenario=told.scenario,
        version=told.version,
        newest=item.newest,
        published_at=told.published_at,
        published_by=told.published_by,
        journeys=told.journeys,
        under_way=item.under_way,
        closed=_closure(item.closure),
    )


def _closure(closure: Closure | None) -> ClosureBody | None:
    return closure and ClosureBody(at=closure.closed_at, by=closure.closed_by, reason=closure.reason)


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
