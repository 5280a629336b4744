"""Where in the data a template's value may be from, and what using it means for what is read there."""

from __future__ import annotations

from typing import Final, NamedTuple

from scenario.liquid.analysis.usage_tree import Need

BY_FIELD: Final = frozenset(
    {"compact", "find", "find_index", "has", "map", "reject", "sort", "sort_natural", "sum", "uniq", "where"}
)
"""Filters that look into a field of each item, where they are told one."""


class Seen(NamedTuple):
    """A value, as far as is known without the data.

    Attributes:
        these: It may be one of these.
        inside: It may be a new list of these.
    """

    these: frozenset[Need] = frozenset()
    inside: frozenset[Need] = frozenset()

    def or_else(self, other: Seen) -> Seen:
        """What may be this value or another."""
        return Seen(self.these | other.these, self.inside | other.inside)

    def take(self) -> None:
        """All of it is read."""
        for need in self.these | self.inside:
            need.whole = True

    def ask(self) -> None:
        """It is asked for being there, or for being empty."""
        for need in self.these:
            need.tested = True

    def field(self, name: str) -> Seen:
        """A field of it; a new list has none."""
        return Seen(frozenset(found for need in self.these for found in need.of_field(name)))

    def item(self) -> Seen:
        """An item of it."""
        return Seen(frozenset(found for need in self.these for found in need.of_items()) | self.inside)

    def flat(self) -> frozenset[Need]:
        """Its items as most filters see them: what lists inside of it hold is laid out.

        An item of a list that is a list itself is handed over whole in any case, but a field that `map` has collected
        has to be read as the list that it may be.
        """
        laid = (found for need in self.inside if not need.is_item for found in need.of_items())
        return self.item().these.union(laid)

    def by_field(self, name: str, key: str) -> Seen:
        """What comes out of one of the filters that look into a field of each item."""
        items = self.flat()
        values = Seen(items).field(key)
        if name == "map":
            return Seen(inside=values.these)
        values.take()
        match name:
            case "find":
                return Seen(items)
            case "find_index" | "has" | "sum":
                return NEW
            case _:
                return Seen(inside=items)


NEW: Final = Seen()
"""A value that holds nothing of the data's lists and objects: a number, a text."""
