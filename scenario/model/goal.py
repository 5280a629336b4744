"""The goal of a scenario: the event that shows success, and its value."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from scenario.model.parts import Model
from scenario.model.scalars import Condition, EventName, Interval, Template, satisfies

LONGEST: Final = timedelta(days=90)
"""Maximum period of a goal. Later events have other causes, and the entry has to be kept that long."""
_LARGEST: Final = Decimal(10**12)
_PLACES: Final = Decimal("0.000001")
_OUTPUT: Final = re.compile(r"\s*\{\{[^{}]*\}\}\s*")


def number_of(value: object) -> Decimal | None:
    """Return a number, also from a text, or None.

    Numbers of 10^12 and more are rejected. Six decimals are kept: no currency has more.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    if not number.is_finite() or number.copy_abs() >= _LARGEST:
        return None
    return number.quantize(_PLACES).normalize() + 0


def is_worth(text: str) -> bool:
    """Return True if a text can give a number: it is a number, or exactly one output."""
    return _OUTPUT.fullmatch(text) is not None or ("{" not in text and number_of(text) is not None)


def _worth(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_Within = Annotated[Interval, satisfies(lambda value: value <= LONGEST, f"a goal counts for {LONGEST.days}d at most")]


class Goal(Model):
    """The event that a scenario aims at. It is counted once per entry, during the journey or after it."""

    event: EventName
    condition: Condition | None = Field(
        default=None, alias="if", description="Condition for the event; it may use `event` and `journey` only."
    )
    within: _Within = Field(description="Time after the entry in which the goal counts, at most 90d.")
    value: (
        Annotated[
            Template,
            BeforeValidator(_worth),
            WithJsonSchema({"type": ["string", "number"], "minLength": 1, "examples": ["{{ event.total }}"]}),
        ]
        | None
    ) = Field(default=None, description="Value of a goal: a number, or one output that gives it.")
