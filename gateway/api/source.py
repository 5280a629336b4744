"""Scenarios in requests, as the YAML file itself or as JSON with the files that it refers to; and their findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from fastapi import Request
from pydantic import BaseModel, Field, ValidationError

from gateway.api.body import Map, RequestBody, decoded, parse
from gateway.api.problem import Mistake, Problem, ResponseBody, invalid, pointer_to
from gateway.errors import CheckFailed
from scenario.source.findings import Finding

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
    """Return findings as the API sends them."""
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
        errors = [
            Mistake(
                pointer=_pointer(one.file, error.file) if self.is_json else "",
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


def _pointer(file: str, scenario: str) -> str:
    return "/source" if file == scenario else f"/files{pointer_to([file])}"


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
    """Return the description of the body that `source_of` accepts, for a route's ``openapi_extra``."""
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
