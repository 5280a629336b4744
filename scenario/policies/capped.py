"""The choice of a step whose message exceeds a cap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Discriminator, Tag

from scenario.model.parts import Model
from scenario.model.scalars import Interval

WAITS: Final = "<waits>"
"""The tag of `CappedWait` in pydantic's reports."""


class CappedWait(Model):
    """A wait for a free place, with a maximum; then the step is skipped."""

    wait: Interval


def _word(value: object) -> object:
    if value in ("skip", "hold"):
        return value
    raise ValueError("'capped' is skip, hold, or {wait: 2d}")


def _form(value: object) -> str:
    return WAITS if isinstance(value, Mapping | CappedWait) else "<word>"


Capped = Annotated[
    Annotated[Literal["skip", "hold"], BeforeValidator(_word), Tag("<word>")] | Annotated[CappedWait, Tag(WAITS)],
    Discriminator(_form),
]
