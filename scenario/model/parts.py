"""Values and parts of a scenario file: names, durations, times, zones, templates; bodies, retries, saved responses."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    WithJsonSchema,
    model_validator,
)

from scenario.errors import DurationError
from scenario.plan.retry import BOUNDS, STORED, RetryPolicy
from scenario.source.findings import closest
from scenario.time import format_duration, parse_duration
from scenario.type_guards import is_list, is_mapping

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
OnFailure = Literal["hold", "continue", "exit"]
OnUnknown = Literal["retry", "hold", "continue"]

NAME: Final = r"^[a-z0-9]+(-[a-z0-9]+)*$"
EVENT: Final = r"^[A-Za-z0-9_]+([.:-][A-Za-z0-9_]+)*$"
STEP_ID: Final = r"^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$"
SAVED: Final = r"^[A-Za-z][A-Za-z0-9_]*$"
PATH: Final = r"^/"
FIELD_PATH: Final = r"^[^\s.\[\]{}]+(\.[^\s.\[\]{}]+)*$"
COUNTRY: Final = r"^[A-Z]{2}$"
ACCOUNT: Final = r"^[0-9]{1,20}$"
SEED: Final = r"^\S+( \S+)*$"
BRANCH: Final = r"^[A-Za-z0-9]+([_-][A-Za-z0-9]+)*$"
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)


def _duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A ValueError and no TypeError is what pydantic takes for a wrong value.
        raise ValueError(f"{value:g} is not a duration: add its unit, such as {value:g}h or {value:g}d")  # noqa: TRY004
    if not isinstance(value, str):
        raise ValueError("this is not a duration: write 90s, 15m, 2h, 3d or 2w")  # noqa: TRY004
    try:
        return parse_duration(value)
    except DurationError as error:
        raise ValueError(str(error)) from error


def read_span(value: object) -> timedelta:
    """Return a duration from text. Raise ValueError if it is malformed or negative."""
    length = _duration(value)
    if length < timedelta(0):
        raise ValueError("a duration here cannot be negative")
    return length


def satisfies(condition: Callable[[Any], object], message: str) -> AfterValidator:
    """Return a validator that rejects a value with a message unless it meets a condition."""

    def validate(value: Any) -> Any:
        if not condition(value):
            raise ValueError(message)
        return value

    return AfterValidator(validate)


def read_clock(value: str) -> str:
    """Return a time of day unchanged. Raise ValueError if it is malformed."""
    if not _CLOCK.fullmatch(value):
        raise ValueError(f"'{value[:40]}' is not a time of day: write hours and minutes, such as \"09:30\"")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError) as error:  # an unknown name is a KeyError, an odd one either of the others
        close = closest(value, available_timezones(), 0.8)
        hint = f"did you mean '{close}'?" if close else "write a name such as Europe/Paris"
        raise ValueError(f"'{value[:40]}' is not a time zone: {hint}") from error
    return value


DURATION: Final = (
    r"((\d+(\.\d{1,3})?[smhdw] *)+"
    r"|P(?=\d|T\d)(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d{1,3})?S)?)?)"
)
"""A duration's pattern, for editors; `scenario.time` reads durations."""
_SPAN_SCHEMA: Final = {
    "type": "string",
    "pattern": f"^\\+?{DURATION}$",
    "examples": ["90s", "15m", "2h", "3d", "2w", "1h30m", "P3DT12H"],
}
_OFFSET_SCHEMA: Final = {"type": "string", "pattern": f"^[-+]?{DURATION}$", "examples": ["-3d", "12h"]}
Duration = Annotated[
    timedelta,
    BeforeValidator(read_span),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(_SPAN_SCHEMA),
]
"""A duration, not negative."""
Interval = Annotated[Duration, satisfies(bool, "a duration here must be greater than zero")]
"""A duration greater than zero."""
Timeout = Annotated[
    Duration,
    satisfies(
        lambda value: timedelta(seconds=1) <= value <= timedelta(minutes=5),
        "'timeout' is one attempt's and must be from 1s to 5m: 'deadline' is for all of them",
    ),
]
Offset = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema(_OFFSET_SCHEMA),
]
"""A duration before (``-3d``) or after (``3d``) a date."""
Zone = Annotated[str, AfterValidator(_zone), WithJsonSchema({"type": "string", "examples": ["Europe/Paris"]})]
Name = Annotated[str, Field(pattern=NAME, max_length=100, description="Lower-case words joined by '-'.")]
StepId = Annotated[str, Field(pattern=STEP_ID, max_length=100)]
EventName = Annotated[str, Field(pattern=EVENT, max_length=200, examples=["order.delivered"])]
Template = Annotated[str, Field(min_length=1)]
UrlPath = Annotated[str, Field(min_length=1, pattern=PATH, examples=["/orders/{{ order.external_id }}"])]
"""The part behind a destination's URL, with Liquid."""
SavedName = Annotated[str, Field(pattern=SAVED, max_length=50, examples=["whatsapp"])]
"""The name of a saved response, used as ``responses.<name>``."""
Expression = Annotated[
    str, Field(min_length=1, description="A value, such as contact.language; filters may follow it.", max_length=1000)
]
Condition = Annotated[str, Field(min_length=1, description="A Liquid condition, such as order.total_price > 20.")]


# ---- parts


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
    required: bool = Field(
        default=False,
        strict=True,
        exclude_if=lambda required: not required,
        description="True if the step fails without a response that can be kept.",
    )
