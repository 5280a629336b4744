"""The kinds of templates, and the shapes of the data that one may read, for the linter.

Shapes are derived from the models that parse the data, so that fields are listed once. Importing this module loads
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal[
    "text", "html", "line", "mailbox", "json", "form", "plain", "url", "path", "header", "condition", "value"
]
"""The output format of a template, which determines how it escapes values."""
Scalar = Literal["text", "number", "flag", "date"]


@dataclass(frozen=True, slots=True)
class Value:
    """A single value. A date is ISO 8601 text."""

    kind: Scalar


@dataclass(frozen=True, slots=True)
class Object:
    """Values by name."""

    fields: Mapping[str, Tree] = field(default_factory=dict[str, "Tree"])
    """The fields that always exist, with or without a value."""
    open: bool = False
    """True if other fields may exist, too."""
    only_by_path: frozenset[str] = frozenset()
    """Fields that exist only if a path names them. The object as a whole lacks them."""
    requires_field: bool = False
    """True if a template must name one field literally, as in ``secrets.TOKEN``."""

    @property
    def whole(self) -> Object:
        """The object without the fields that exist only by path."""
        if not self.only_by_path:
            return self
        return Object({name: tree for name, tree in self.fields.items() if name not in self.only_by_path}, self.open)


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list."""

    item: Tree


@dataclass(frozen=True, slots=True)
class Anything:
    """A value of unknown type."""


Tree = Value | Object | ListOf | Anything


@dataclass(frozen=True, slots=True)
class Roots:
    """The variables of one template."""

    known: Mapping[str, Tree]
    availability: Mapping[str, str] = field(default_factory=dict[str, str])
    """By the name of any other variable, where it exists, as the end of a sentence: ``with the trigger reward``."""
    possibly_missing: Mapping[str, str] = field(default_factory=dict[str, str])
    """By the name of a variable, or the path of one of its fields, that may be missing: the reason and the remedy."""
