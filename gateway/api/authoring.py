"""``/v1/check`` and ``/v1/preview``: check a scenario, and preview its messages. Nothing is sent or stored.

A scenario in a request is the YAML file itself, or JSON with the files that it refers to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BaseModel, Field, NaiveDatetime, ValidationError, field_validator, model_validator

from authoring.errors import CheckFailed
from gateway.api.authentication import Publishing
from gateway.api.body import Author, Map, RequestBody, decoded, parse
from gateway.api.problem import VERSIONED, Mistake, Problem, ResponseBody, invalid, pointer_to, problems
from scenario.source.findings import Finding
from scenario.time import ENTRY_YEARS

router = APIRouter(tags=["authoring"])

YAML: Final = "application/yaml"
_YAML: Final = frozenset({YAML, "application/x-yaml", "text/yaml", "text/x-yaml"})


class FindingBody(ResponseBody):
    """A finding in a scenario, or in a file that it refers to."""

    file: str = Field(examples=["scenario.yaml"])
    """The file: the scenario's, or one of `files`."""
    line: int
    """Its line, starting at 1."""
    column: int
    """Its column in characters, starting at 1."""
    severity: Literal["error", "warning"]
    """A scenario with an error cannot be published."""
    code: str = Field(examples=["unknown-key"])
    """The kind of finding, for programs."""
    message: str
    """The finding, as one sentence."""
    did_you_mean: str | None = None
    """The word that was probably meant."""


def bodies_of(findings: Iterable[Finding]) -> list[FindingBody]:
    return [FindingBody(**one.as_json()) for one in findings]


class SourceBody(RequestBody):
    """A scenario with the files that it refers to."""

    source: str
    """The scenario file: YAML."""
    files: Map[dict[str, str]] = Field(
        default_factory=dict[str, str], examples=[{"mails/thank-you.html": "<p>Thank you!</p>"}]
    )
    """The texts that it refers to with `{file: …}`, by their paths relative to the file."""


class PublicationBody(SourceBody):
    """A scenario to publish. Its fields take precedence over parameters of the same name."""

    journeys: Literal["pin", "follow"] | None = None
    """Whether its journeys stay with this version (`pin`), or move to newer ones as soon as they can."""
    newest: bool | None = None
    """Make it the newest again if another version has followed it: a rollback."""


@dataclass(frozen=True)
class SubmittedScenario:
    """A scenario from a request; `is_json` is False if the body was the file itself."""

    body: PublicationBody
    is_json: bool

    def problem(self, error: CheckFailed) -> Problem:
        """Return the problem of this scenario's errors. Pointers lead into a JSON body."""
        pointers = {error.file: "/source"}
        errors = [
            Mistake(
                pointer=pointers.get(one.file, f"/files{pointer_to([one.file])}") if self.is_json else "",
                code=one.code,
                detail=one.message,
                did_you_mean=one.did_you_mean,
                file=one.file,
                line=one.line,
                column=one.column,
            )
            for one in error.findings
            if one.severity == "error"
        ]
        count = "1 mistake" if len(errors) == 1 else f"{len(errors)} mistakes"
        return Problem("invalid", f"the scenario has {count}: nothing was published", errors)


async def source_of(
    request: Request, model: type[SourceBody] = PublicationBody, **parameters: Any
) -> SubmittedScenario:
    """Return the scenario in a request. Fields of a JSON body take precedence over parameters.

    Raise Problem if it has neither form, or its JSON has mistakes.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    content = await request.body()
    if media in _YAML:
        try:
            return SubmittedScenario(PublicationBody(source=content.decode(), **parameters), is_json=False)
        except UnicodeDecodeError:
            raise Problem("malformed", "the body is not UTF-8") from None
    if media != "application/json":
        raise Problem("unsupported-media", f"send YAML, with content-type: {YAML}, or JSON, with application/json")
    try:
        given = model.model_validate_json(content)
    except ValidationError as error:
        found = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
        raise invalid(found, parse(decoded(content)), model) from None
    return SubmittedScenario(PublicationBody(**parameters | given.model_dump(exclude_none=True)), is_json=True)


def described(model: type[BaseModel]) -> dict[str, Any]:
    yaml = {"schema": {"type": "string", "description": "The scenario file"}, "example": EXAMPLE}
    json = {"schema": model.model_json_schema()}
    return {"requestBody": {"required": True, "content": {"application/json": json, YAML: yaml}}}


EXAMPLE: Final = """\
scenario: welcome
trigger: contact_created
steps:
  - email: welcome
    subject: Welcome, {{ contact.firstname }}!
    text: Good to have you.
"""


class Checked(ResponseBody):
    """The findings of a check."""

    ok: bool
    """True if it may be published: no finding is an error."""
    findings: list[FindingBody]
    """All findings."""


class EventBody(RequestBody):
    """An event that happens as soon as a step waits for it."""

    name: str = Field(min_length=1, max_length=200, examples=["order.delivered"])
    properties: Map[dict[str, Any]] = Field(default_factory=dict[str, Any])


class PreviewBody(RequestBody):
    """A scenario, sent or published, and the contact to preview it for."""

    source: str | None = None
    """A scenario file, YAML; or give `scenario`."""
    files: Map[dict[str, str]] = Field(default_factory=dict[str, str])
    """The texts that `source` refers to."""
    scenario: str | None = Field(None, max_length=120, pattern=VERSIONED, examples=["welcome@3"])
    """A published scenario."""
    entry: dict[str, Any]
    """The entry, as in `POST /v1/entries`."""
    at: Annotated[AwareDatetime | NaiveDatetime | None, Field(union_mode="left_to_right")] = None
    """When the contact enters; without an offset, in the contact's time zone. By default now."""
    events: list[EventBody] = Field(default_factory=list[EventBody], max_length=100)
    """Events that happen."""
    responses: Map[dict[str, Any]] = Field(default_factory=dict[str, Any])
    """The responses that webhooks with `save:` receive, by its name."""
    step: str | None = None
    """Only this step."""

    @field_validator("at")
    @classmethod
    def _is_near(cls, at: datetime | None) -> datetime | None:
        if at is not None and not ENTRY_YEARS[0] <= at.year <= ENTRY_YEARS[1]:
            raise ValueError(f"give a date between the years {ENTRY_YEARS[0]} and {ENTRY_YEARS[1]}")
        return at

    @model_validator(mode="after")
    def _has_one_scenario(self) -> PreviewBody:
        if (self.source is None) == (self.scenario is None):
            raise ValueError("give either 'source' or 'scenario'")
        return self


class Fork(ResponseBody):
    """A fork that contains a step."""

    of: str
    way: str


class RenderingError(ResponseBody):
    """Why a step cannot be rendered, and where."""

    message: str
    file: str
    line: int
    column: int
    unread: str | None = None
    """The text that was to be the date of a wait, and is none."""


class PreviewedOutput(ResponseBody):
    """An output of a message, and its place in the scenario's files."""

    output: str
    """Without braces, such as `contact.firstname | capitalize`."""
    file: str
    line: int
    column: int


class PreviewedRequest(ResponseBody):
    """A webhook's request, with secrets shown by name."""

    method: str
    url: str
    headers: dict[str, str]
    attempt_headers: list[str]
    """The names of headers that differ between attempts."""
    body: str


class PreviewedStep(ResponseBody):
    """A step and its message."""

    id: str
    kind: str
    what: str
    """The step in words."""
    taken: bool
    """True if the contact reaches it."""
    reachable: bool
    """True if the contact could reach it with other events or draws."""
    branch: list[Fork]
    """The forks before it, and the ways that lead to it."""
    at: str
    """Its start, in the contact's time zone."""
    outcome: str
    """`sent`, `skipped`, `waited`, `event`, `timeout`, `then`, `else`, `exited`, `held`, `failed`, or a branch."""
    reason: str | None = None
    """The reason for the outcome; of a date that is past: `is past: …`."""
    waits_until: str | None = None
    """The end of its wait, in the contact's time zone."""
    way: str | None = None
    """The way that the contact takes from here."""
    note: str | None = None
    error: RenderingError | None = None
    empty: list[PreviewedOutput] | None = None
    """The outputs of its message that printed nothing, or `null` in JSON."""
    request: PreviewedRequest | None = None
    message: dict[str, str | int] | None = None
    """E-mail: `from`, `to`, `subject`, `date`, `message_id`, `text`, `html`, `source`. SMS: `to`, `text`,
    `characters`, `alphabet` (`GSM-7` or `UCS-2`), `parts`."""


class WithheldBody(ResponseBody):
    """Why the journey would end immediately: the contact would be admitted to the holdout or control group."""

    outcome: str
    reason: str


class PreviewedExitRule(ResponseBody):
    """An exit rule."""

    event: str
    condition: str | None = Field(alias="if")
    given: bool
    """True if one of the given events fulfils it."""


class Previewed(ResponseBody):
    """The messages that a scenario would send to a contact. If it has errors, only findings and no steps."""

    steps: list[PreviewedStep]
    findings: list[FindingBody]
    journey: str | None = None
    contact: str | None = None
    key: str | None = None
    entered_at: str | None = None
    """Time of entry, in the contact's time zone."""
    timezone: str | None = None
    refused: str | None = None
    """Why the contact would not be admitted."""
    withheld: WithheldBody | None = None
    notes: list[str] | None = None
    """Remarks on the entry."""
    exit: list[PreviewedExitRule] | None = None
    """The scenario's exit rules."""


@router.post("/check", response_model_exclude_none=True, openapi_extra=described(SourceBody))
async def check_scenario(request: Request, author: Author, caller: Publishing) -> Checked:
    """Report all errors and warnings of a scenario, with line and column. Nothing is stored."""
    sent = await source_of(request, SourceBody)
    document, findings = await author.check(caller, sent.body.source, sent.body.files)
    return Checked(ok=document is not None, findings=bodies_of(findings))


@router.post("/preview", response_model=Previewed, responses=problems("not-found", "no-answer"))
async def preview_scenario(body: PreviewBody, author: Author, caller: Publishing) -> Response:
    """Show what every step would send to a contact, byte by byte. Nothing is sent, and no journey starts."""
    request = body.model_dump(exclude={"scenario", *(("source", "files") if body.scenario else ())})
    request["at"] = body.at and body.at.isoformat()
    # The bytes are those of the process that made them: of a large scenario, many megabytes.
    return Response(await author.preview(caller, request, body.scenario), media_type="application/json")
