"""Parts of steps: texts and bodies, retries, saved responses."""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from scenario.model.scalars import Duration, Interval, SavedName, Template
from scenario.plan.retry import BOUNDS, STORED, RetryPolicy
from scenario.type_guards import is_list, is_mapping


class Model(BaseModel):
    """The base of all models of the file: unknown keys are mistakes, instances are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)


def written_as(form: str, *kinds: type, other: str) -> Discriminator:
    """Return a discriminator: `form` is written as a mapping, or is an object of these kinds; all else is `other`."""
    return Discriminator(lambda value: form if isinstance(value, (Mapping, *kinds)) else other)


def optional(description: str, **more: Any) -> Any:
    """Return a field that a document leaves out unless it is given, so that digests stay the same. See `Field`."""
    return Field(default=None, exclude_if=lambda value: value is None, description=description, **more)


class File(Model):
    """A text in another file. It replaces the reference when the scenario is published."""

    file: str = Field(min_length=1, description="Path relative to the scenario file, in its folder or below.")


def _text_form(value: object) -> str | None:
    match value:
        case str():
            return "<text>"
        case File() | Mapping():
            return "<file>"
        case _:
            return None


def _body_form(value: object) -> str | None:
    match value:
        case str():
            return "<text>"
        case File():
            return "<file>"
        case _ if is_mapping(value):
            return "<file>" if set(value) == {"file"} else "<mapping>"
        case _:
            return "<list>" if is_list(value) else None


Text = Annotated[Annotated[Template, Tag("<text>")] | Annotated[File, Tag("<file>")], Discriminator(_text_form)]
Body = Annotated[
    Annotated[Template, Tag("<text>")]
    | Annotated[File, Tag("<file>")]
    | Annotated[dict[str, Any], Tag("<mapping>")]
    | Annotated[list[Any], Tag("<list>")],
    Discriminator(_body_form),
]
"""A webhook's body: text with Liquid, inline or in a file, or a structure with Liquid in its leaves."""


class Retry(Model):
    """The retry policy of a step, in Temporal's words."""

    initial_interval: Interval = Field(
        default=timedelta(seconds=5), description="Time before the second attempt, with up to 20 % jitter."
    )
    backoff_coefficient: float = Field(
        default=3.0,
        strict=True,
        ge=BOUNDS["backoff_coefficient"][0],
        le=BOUNDS["backoff_coefficient"][1],
        description="Factor from one interval to the next.",
    )
    maximum_interval: Duration = Field(default=timedelta(hours=6), description="Longest interval.")
    deadline: Interval = Field(default=timedelta(days=3), description="Time for all attempts: none starts later.")
    maximum_attempts: int = Field(
        default=0, strict=True, ge=0, description="Maximum number; 0: as many as the deadline allows."
    )

    @model_validator(mode="after")
    def _whole(self) -> Retry:
        if not self.policy.is_sound:
            raise ValueError("'maximum_interval' (6h unless given) is shorter than 'initial_interval'")
        return self

    @property
    def policy(self) -> RetryPolicy:
        return RetryPolicy().changed_by(self._values(STORED))

    @property
    def own(self) -> dict[str, float]:
        """The written values, by their names in plans."""
        return {key: float(value) for key, value in self._values(self.model_fields_set).items()}

    def _values(self, names: Container[str]) -> dict[str, float]:
        given = {key: getattr(self, name) for name, key in STORED.items() if name in names}
        return {key: value.total_seconds() if isinstance(value, timedelta) else value for key, value in given.items()}


class Save(Model):
    """A response that is kept for later templates and conditions."""

    name: SavedName = Field(alias="as", description="Name of the response: letters, digits, _.")
    when: Literal["json"] = Field(default="json", description="Responses that are kept: JSON.")
    shape: dict[str, Any] | None = Field(
        default=None, alias="schema", description="JSON Schema (2020-12, at most 16 KB) that it must match."
    )
