"""Draws that anybody can repeat: who takes which branch of a split, who is in a control group, whom the holdout keeps.

Nothing is stored and nothing is random. SHA-256 makes a number of a seed and a unit (a contact's id, say), and branches
have ranges of that number: so the same unit takes the same branch at every entry and in every version, draws of
different seeds are independent of each other, and who was in a group of the past can be worked out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Final, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from scenario.model.parts import Model
from scenario.model.scalars import SEED
from scenario.source.findings import clip

WHOLE: Final = 10_000
"""All of them, in hundredths of a per cent: as exact as a share is written."""
CONTACT: Final = "contact"
"""The unit of a draw that is the same over all of a contact's journeys: its id."""
JOURNEY: Final = "journey"
"""The unit of a draw that is another one for each key: the journey's id."""
UNITS: Final = (CONTACT, JOURNEY)
CONTROL: Final = "control"
"""How the journey of a contact ends that its scenario keeps for comparison."""
HOLDOUT: Final = "holdout"
"""How the journey of a contact ends that no marketing is to reach."""
WITHHELD: Final = (CONTROL, HOLDOUT)
"""How journeys end whose contacts were let in to get nothing."""
_BITS: Final = 64


def u(seed: str, unit: str) -> int:
    """The number of a unit: the first 8 bytes of SHA-256 of the seed, a line feed and the unit. Of 2⁶⁴ all are alike.

    **Never to be changed**: another formula would move contacts from branch to branch in the middle of their tests.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}\n{unit}".encode(errors="replace")).digest()[:8])


def drawn(shares: Mapping[str, int], number: int) -> str:
    """The first name whose cumulative share is above a number.

    Args:
        shares: In hundredths of a per cent, 100 per cent together.
        number: From `u`. Compared as a whole number: no border is rounded.
    """
    total = 0
    for name, share in shares.items():
        total += share
        if total << _BITS > number * WHOLE:
            return name
    raise ValueError("the shares of a draw must come to 100 per cent")


def hundredths(value: object) -> int:
    """A share in per cent, such as 33.33, in hundredths.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, str) and value.strip().removesuffix("%").strip().replace(".", "", 1).isdecimal():
        raise ValueError(f"write the per cent as a number: {value.strip().removesuffix('%').strip()}")
    if isinstance(value, Mapping):
        raise ValueError("a share is a number of per cent and nothing else, such as 50")  # noqa: TRY004
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError("a share is a number of per cent, such as 50 or 33.33")  # noqa: TRY004 pydantic's way
    share = Decimal(str(value)) * 100
    if not share.is_finite():
        raise ValueError("a share is a number of per cent, such as 50 or 33.33")
    if not 0 <= share <= WHOLE:
        raise ValueError(f"{value} is not a share: write per cent from 0 to 100")
    if share != int(share):
        raise ValueError(f"{value} has more than two decimals: write {Decimal(str(value)):.2f}")
    return int(share)


def percent(share: int) -> int | float:
    """Hundredths as per cent, as they are written: 50, 33.33."""
    return share // 100 if share % 100 == 0 else share / 100


Share = Annotated[
    int,
    BeforeValidator(hundredths),
    PlainSerializer(percent, return_type=int | float),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100, "examples": [50, 33.33]}),
]
"""A share in hundredths of a per cent; a file has it in per cent, with two decimals at most."""
Seed = Annotated[str, Field(min_length=1, max_length=200, pattern=SEED)]
"""What a draw is made with, beside the unit."""


def _not_all(share: int) -> int:
    if share == WHOLE:
        raise ValueError("the share must be less than 100: else nobody would get anything")
    return share


KeptOut = Annotated[Share, AfterValidator(_not_all)]
"""A share of those who get nothing."""


class Holdout(Model):
    """Contacts that no marketing reaches, in whichever scenario, so that the effect of all of it can be measured."""

    share: KeptOut = Field(description="Per cent of all contacts.")
    seed: Seed = Field(description="Another one keeps others out: change it to begin a new period.")


class Drawn(NamedTuple):
    """What came of a draw.

    Attributes:
        name: The branch.
        number: The number that it was drawn by.
        by: Whose it is, as people read it.
    """

    name: str
    number: int
    by: str

    @property
    def why(self) -> str:
        """The number for people: ``0.7312 of 1, by contact``."""
        # Cut, not rounded: so it is below a border wherever the number is.
        places = self.number * WHOLE >> _BITS
        return f"0.{places:04} of 1, by {self.by}"

    def __str__(self) -> str:
        return f"{self.name} ({self.why})"


@dataclass(frozen=True, kw_only=True)
class Lot:
    """How something is drawn.

    Attributes:
        seed: Equal seeds draw the same people.
        shares: In hundredths of a per cent, in the order of their ranges.
        by: The unit: ``contact``, ``journey``, or a template that gives it.
    """

    seed: str
    shares: Mapping[str, int]
    by: str = CONTACT

    def unit(self, data: Mapping[str, Any]) -> str | None:
        """What is drawn by, from a journey's data; None where a template gives it."""
        return str(data[self.by]["id"]) if self.by in UNITS else None

    def draw(self, unit: str) -> Drawn:
        """What a unit draws."""
        number = u(self.seed, unit)
        return Drawn(drawn(self.shares, number), number, clip(self.by.strip("{- }")))

    def moved(self, other: Lot) -> int | None:
        """How many, in hundredths of a per cent, draw another name than by an earlier lot.

        Returns:
            None where all are drawn anew, by another seed or other units.
        """
        if (self.seed, self.by) != (other.seed, other.by):
            return None
        borders = sorted({0, *_borders(self.shares), *_borders(other.shares)})
        return sum(
            end - start for start, end in pairwise(borders) if _at(self.shares, start) != _at(other.shares, start)
        )


def _borders(shares: Mapping[str, int]) -> list[int]:
    """Where ranges end, in hundredths of a per cent."""
    ends: list[int] = []
    for share in shares.values():
        ends.append((ends[-1] if ends else 0) + share)
    return ends


def _at(shares: Mapping[str, int], place: int) -> str:
    """Whose range begins at a place, or goes on there."""
    return next(name for name, end in zip(shares, _borders(shares), strict=True) if end > place)


def apart(seed: str, name: str, share: int) -> Lot:
    """The lot that takes some contacts out, under a name; the others draw an empty one."""
    return Lot(seed=seed, shares={name: share, "": WHOLE - share})
