"""A scenario in a request: the YAML file itself, or JSON with the files that it refers to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.api.body import decoded, parse
from gateway.api.maps import Map
from gateway.api.problem import Problem, invalid

YAML: Final = "application/yaml"
_YAML: Final = frozenset({YAML, "application/x-yaml", "text/yaml", "text/x-yaml"})


class SourceBody(BaseModel):
    """A scenario with the files that it refers to."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(description="The scenario file: YAML")
    files: Map[dict[str, str]] = Field(
        default_factory=dict[str, str],
        description="The texts that it refers to with `{file: …}`, by their paths from where the file would be",
        examples=[{"mails/thank-you.html": "<p>Thank you!</p>"}],
    )


class PublicationBody(SourceBody):
    """A scenario to publish. Its fields take precedence over parameters of the same name."""

    journeys: Literal["pin", "follow"] | None = Field(
        None,
        description="Whether its journeys stay with this version (`pin`), or go on in newer ones as soon as they can",
    )
    newest: bool | None = Field(
        None, description="Make it the newest again where another version has followed it: a rollback"
    )


@dataclass(frozen=True)
class Source:
    """A scenario from a request.

    Attributes:
        body: The scenario.
        is_json: Whether the request was JSON.
    """

    body: PublicationBody
    is_json: bool


async def source_of(request: Request, model: type[PublicationBody] | type[SourceBody] = PublicationBody) -> Source:
    """Return the scenario in a request.

    Raises:
        Problem: It has neither form, or its JSON has mistakes.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    content = await request.body()
    if media in _YAML:
        try:
            return Source(PublicationBody(source=content.decode(), journeys=None, newest=None), is_json=False)
        except UnicodeDecodeError:
            raise Problem("malformed", "the body is not UTF-8") from None
    if media != "application/json":
        raise Problem("unsupported-media", f"send YAML, with content-type: {YAML}, or JSON, with application/json")
    try:
        given = model.model_validate_json(content)
    except ValidationError as error:
        found = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
        raise invalid(found, parse(decoded(content)), model) from None
    return Source(PublicationBody(**given.model_dump()), is_json=True)


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
