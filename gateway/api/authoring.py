"""``/v1/check`` and ``/v1/preview``: check a scenario, show what it would send. Nothing is sent or stored."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NaiveDatetime, field_validator, model_validator

from gateway.api.app_state import Authors, Client
from gateway.api.authorization import Publishing
from gateway.api.findings import FindingBody
from gateway.api.maps import Map
from gateway.api.problem import VERSIONED, Problem, problems
from gateway.api.source import SourceBody, described, source_of
from gateway.client import ScenarioClient

router = APIRouter(tags=["authoring"])

YEARS: Final = (1970, 9000)
"""The years that `at` accepts. Every moment that a scenario can wait for from there is a valid date."""


class Checked(BaseModel):
    """The findings of a check."""

    ok: bool = Field(description="Whether it may be published: there is no error among the findings")
    findings: list[FindingBody]


class EventBody(BaseModel):
    """An event that happens to the contact as soon as a step waits for it."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=200, examples=["order.delivered"])
    properties: Map[dict[str, Any]] = Field(default_factory=dict[str, Any])


class PreviewBody(BaseModel):
    """A scenario, sent or published, and the contact to preview it for."""

    model_config = ConfigDict(extra="forbid")

    source: str | None = Field(None, description="A scenario file, YAML; or give `scenario`")
    files: Map[dict[str, str]] = Field(default_factory=dict[str, str], description="The texts that `source` refers to")
    scenario: str | None = Field(
        None,
        max_length=120,
        pattern=VERSIONED,
        description="One that is published",
        examples=["welcome@3"],
    )
    entry: dict[str, Any] = Field(description="As `POST /v1/entries` takes it")
    at: Annotated[AwareDatetime | NaiveDatetime | None, Field(union_mode="left_to_right")] = Field(
        None, description="When the contact comes in; without an offset, on its own clock. Without it: now"
    )
    events: list[EventBody] = Field(default_factory=list[EventBody], max_length=100)
    responses: Map[dict[str, Any]] = Field(
        default_factory=dict[str, Any], description="What webhooks with a `save:` get for an answer, by its name"
    )
    step: str | None = Field(None, description="Only this step")

    @field_validator("at")
    @classmethod
    def _near(cls, at: datetime | None) -> datetime | None:
        if at is not None and not YEARS[0] <= at.year <= YEARS[1]:
            raise ValueError(f"give a date between the years {YEARS[0]} and {YEARS[1]}")
        return at

    @model_validator(mode="after")
    def _one(self) -> PreviewBody:
        if (self.source is None) == (self.scenario is None):
            raise ValueError("give either 'source' or 'scenario'")
        return self


class Fork(BaseModel):
    """A fork that contains a step."""

    of: str
    way: str


class Failing(BaseModel):
    """Why a step cannot be rendered, and where."""

    message: str
    file: str
    line: int
    column: int


class RequestShown(BaseModel):
    """A webhook's request, with secrets shown by name."""

    method: str
    url: str
    headers: dict[str, str]
    attempt_headers: list[str] = Field(description="The names of those that differ from attempt to attempt")
    body: str


class PreviewedStep(BaseModel):
    """A step and its message."""

    id: str
    kind: str
    what: str
    taken: bool = Field(description="Whether the contact comes by")
    reachable: bool = Field(description="Whether it might, events and chance permitting")
    branch: list[Fork]
    at: str = Field(description="When, on the contact's clock")
    outcome: str
    reason: str | None = None
    waits_until: str | None = None
    way: str | None = None
    note: str | None = None
    error: Failing | None = None
    request: RequestShown | None = None
    message: dict[str, str] | None = Field(None, description="An e-mail (its fields, `text`, `html`, `source`) or SMS")


class WithheldBody(BaseModel):
    """Why the journey would end at once: the contact would be admitted to the holdout or control group."""

    outcome: str
    reason: str


class ExitRule(BaseModel):
    """An exit rule."""

    event: str
    condition: str | None = Field(alias="if")
    given: bool = Field(description="Whether a given event fulfils it")


class Previewed(BaseModel):
    """The messages that a scenario would send to a contact. If it has errors, only findings and no steps."""

    steps: list[PreviewedStep]
    findings: list[FindingBody]
    journey: str | None = None
    contact: str | None = None
    key: str | None = None
    entered_at: str | None = None
    timezone: str | None = None
    refused: str | None = Field(None, description="Why the contact would not be let in")
    withheld: WithheldBody | None = None
    notes: list[str] | None = None
    exit: list[ExitRule] | None = None


@router.post("/check", response_model_exclude_none=True, openapi_extra=described(SourceBody))
async def check_scenario(request: Request, authors: Authors, caller: Publishing) -> Checked:
    """Report all errors and warnings of a scenario, with line and column. Nothing is stored."""
    sent = await source_of(request, SourceBody)
    checked = await authors.check(caller.id, sent.body.source, sent.body.files)
    findings = [FindingBody(**item) for item in checked["findings"]]
    return Checked(ok=checked["document"] is not None, findings=findings)


@router.post("/preview", response_model=Previewed, responses=problems("not-found", "no-answer"))
async def preview_scenario(body: PreviewBody, client: Client, authors: Authors, caller: Publishing) -> Response:
    """Show what every step would send to a contact, byte by byte. Nothing is sent, and no journey starts."""
    request: dict[str, Any] = {
        "entry": body.entry,
        "at": body.at and body.at.isoformat(),
        "events": [event.model_dump() for event in body.events],
        "responses": body.responses,
        "step": body.step,
    }
    if body.scenario is None:
        request |= {"source": body.source, "files": body.files, "scenarios": caller.scenarios}
    else:
        name, _, number = body.scenario.partition("@")
        caller.check(name)
        request |= await _published(client, name, int(number) if number else None)
    # As it came from the process that made it: of a large scenario it is many megabytes.
    return Response(await authors.preview(caller.id, request), media_type="application/json")


async def _published(client: ScenarioClient, name: str, number: int | None) -> dict[str, Any]:
    stored = await client.store.version(name, number)
    if stored is None:
        what = f"{name}@{number}" if number else f"scenario '{name}'"
        raise Problem("not-found", f"{what} is not published: GET /v1/scenarios lists those that are")
    return {"version": f"{name}@{stored.version}", "document": stored.document, "plan": stored.plan}
