"""The shape of the data that a template may name, for the linter.

Whoever knows the data derives the shapes from the models that they are parsed with, so that there is no second list of
fields. Importing this module loads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Scalar = Literal["text", "number", "flag", "date"]


@dataclass(frozen=True, slots=True)
class Value:
    """A single value.

    Attributes:
        kind: What it is; a date is ISO 8601 text.
    """

    kind: Scalar


@dataclass(frozen=True, slots=True)
class Object:
    """Values by name.

    Attributes:
        fields: The ones that are always there, with or without a value.
        open: Whether any other name may be there too.
        direct: Fields that are made only where a path names them; the object as a whole comes without them.
        apart: Whether each value has to be written out, as in ``secrets.TOKEN``: never all of them, and none that data
            choose.
    """

    fields: Mapping[str, Tree] = field(default_factory=dict[str, "Tree"])
    open: bool = False
    direct: frozenset[str] = frozenset()
    apart: bool = False

    @property
    def whole(self) -> Object:
        """What a template has that names the object, and not a field of it."""
        if not self.direct:
            return self
        return Object({name: tree for name, tree in self.fields.items() if name not in self.direct}, self.open)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list to loop over."""

    item: Tree


@dataclass(frozen=True, slots=True)
class Anything:
    """A value of a kind that nobody knows."""


Tree = Value | Object | ListOf | Anything
"""The shape of what a name stands for."""


@dataclass(frozen=True, slots=True)
class Roots:
    """The variables of one template.

    Attributes:
        known: Those that it may name.
        elsewhere: Where else a variable is there, by its name, as the end of a sentence: ``with the trigger reward``.
        unsure: Why a known variable may be missing all the same, by its name, and what to do.
    """

    known: Mapping[str, Tree]
    elsewhere: Mapping[str, str] = field(default_factory=dict[str, str])
    unsure: Mapping[str, str] = field(default_factory=dict[str, str])
