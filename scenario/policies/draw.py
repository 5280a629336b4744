"""Repeatable draws: branches of a split, control groups, the holdout.

Nothing is stored and nothing is random. SHA-256 turns a seed and a unit, such as a contact's id, into a number, and
each branch has a range of numbers. The same unit takes the same branch at every entry and in every version. Draws with
different seeds are independent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from scenario.model.parts import SEED, Model, satisfies
from scenario.source.findings import clip

WHOLE: Final = 10_000
"""100 %, in hundredths of a percent."""
CONTACT: Final = "contact"
"""The unit of a draw that is the same over all journeys of a contact: its id."""
JOURNEY: Final = "journey"
"""The unit of a draw that differs between journeys of a contact: the journey's id."""
UNITS: Final = (CONTACT, JOURNEY)
CONTROL: Final = "control"
"""The outcome of a journey in its scenario's control group."""
HOLDOUT: Final = "holdout"
"""The outcome of a journey of a contact in the holdout."""
WITHHELD: Final = (CONTROL, HOLDOUT)
"""Outcomes of journeys whose contacts get nothing."""
_BITS: Final = 64


def u(seed: str, unit: str) -> int:
    """Return the number of a unit: the first 8 bytes of SHA-256 of the seed, a line feed and the unit.

    **Never change it**: another formula would move contacts between branches during their tests.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}\n{unit}".encode(errors="replace")).digest()[:8])


def drawn(shares: Mapping[str, int], number: int) -> str:
    """Return the first name whose cumulative share is above a number of `u`. Integers compare without rounding."""
    total = 0
    for name, share in shares.items():
        total += share
        if total << _BITS > number * WHOLE:
            return name
    raise ValueError("the shares of a draw must come to 100 per cent")


def hundredths(value: object) -> int:
    """Return a percentage such as 33.33 in hundredths. Raise ValueError if it is malformed."""
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
    """Return hundredths as a percentage: 50, 33.33."""
    return share // 100 if share % 100 == 0 else share / 100


Share = Annotated[
    int,
    BeforeValidator(hundredths),
    PlainSerializer(percent, return_type=int | float),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100, "examples": [50, 33.33]}),
]
"""A share in hundredths of a percent; in files a percentage with at most two decimals."""
Seed = Annotated[str, Field(min_length=1, max_length=200, pattern=SEED)]


KeptOut = Annotated[
    Share, satisfies(lambda share: share < WHOLE, "the share must be less than 100, or no contact would get anything")
]
"""The share of contacts who get nothing."""


class Holdout(Model):
    """Contacts who get no marketing of any scenario, so that its whole effect can be measured."""

    share: KeptOut = Field(description="Percentage of all contacts.")
    seed: Seed = Field(description="A new seed begins a new period with other contacts.")


class DrawResult(NamedTuple):
    """The branch that a draw gave, its number, and its unit for people."""

    name: str
    number: int
    by: str

    @property
    def why(self) -> str:
        """The draw for people: ``0.7312 of 1, by contact``."""
        # Cut, not rounded: so it is below a border wherever the number is.
        places = self.number * WHOLE >> _BITS
        return f"0.{places:04} of 1, by {self.by}"

    def __str__(self) -> str:
        return f"{self.name} ({self.why})"


@dataclass(frozen=True, kw_only=True)
class Lot:
    """A draw."""

    seed: str
    """Equal seeds draw the same units."""
    shares: Mapping[str, int]
    """In hundredths of a percent, in the order of their ranges."""
    by: str = CONTACT
    """The unit: ``contact``, ``journey``, or a template."""

    def unit(self, data: Mapping[str, Any]) -> str | None:
        """Return the unit from a journey's data, or None if a template gives it."""
        return str(data[self.by]["id"]) if self.by in UNITS else None

    def draw(self, unit: str) -> DrawResult:
        number = u(self.seed, unit)
        return DrawResult(drawn(self.shares, number), number, clip(self.by.strip("{- }")))

    def moved(self, other: Lot) -> int | None:
        """Return the share of units, in hundredths of a percent, that draw another name than with an earlier lot.

        None means that another seed or unit draws everything again.
        """
        if (self.seed, self.by) != (other.seed, other.by):
            return None
        borders = sorted({0, *_borders(self.shares), *_borders(other.shares)})
        return sum(
            end - start for start, end in pairwise(borders) if _at(self.shares, start) != _at(other.shares, start)
        )


def _borders(shares: Mapping[str, int]) -> list[int]:
    ends: list[int] = []
    for share in shares.values():
        ends.append((ends[-1] if ends else 0) + share)
    return ends


def _at(shares: Mapping[str, int], place: int) -> str:
    return next(name for name, end in zip(shares, _borders(shares), strict=True) if end > place)


def apart(seed: str, name: str, share: int) -> Lot:
    """Return the lot that gives some contacts a name, and the others an empty one."""
    return Lot(seed=seed, shares={name: share, "": WHOLE - share})
