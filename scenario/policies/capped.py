"""What a step does where a cap leaves it no place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator

from scenario.model.parts import Model
from scenario.model.scalars import Interval


class CappedWait(Model):
    """Waits for a place, for so long at most; then the step is skipped."""

    wait: Interval


def _capped(value: object) -> object:
    if value in ("skip", "hold") or isinstance(value, Mapping | CappedWait):
        return value  # pyright: ignore[reportUnknownVariableType] whatever its keys are
    raise ValueError("'capped' is skip, hold, or {wait: 2d}")


Capped = Annotated[Literal["skip", "hold"] | CappedWait, BeforeValidator(_capped)]
