"""What of the data templates read, as a tree: down to the single fields of a list's items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

DEEPEST: Final = 16
"""Levels that are told apart; what is below is needed whole. A variable may be assigned a field of itself in a loop."""


@dataclass(eq=False, slots=True)
class Need:
    """What is read of one value.

    Which kind of value it is, only the data tell: a value that is read as a list and turns out to be an object is
    needed whole, and so is an item of a list that is a list itself.

    Attributes:
        depth: Levels above it.
        is_item: Whether it is an item of a list, rather than a field or a variable.
        whole: Whether all of it is read, or may be.
        tested: Whether it is asked for being there, or for being empty.
        each: What is read of any of its items, where it is read as a list.
        fields: What is read of its fields, where it is read as an object.
    """

    depth: int = 0
    is_item: bool = False
    whole: bool = False
    tested: bool = False
    each: Need | None = None
    fields: dict[str, Need] = field(default_factory=dict[str, "Need"])

    def of_field(self, name: str) -> Iterable[Need]:
        """What is read of a field; nothing where all of the object is needed anyway."""
        if self._is_enough():
            return ()
        if name not in self.fields:
            self.fields[name] = Need(self.depth + 1)
        return (self.fields[name],)

    def of_items(self) -> Iterable[Need]:
        """What is read of each item; nothing where all of the list is needed anyway."""
        if self._is_enough():
            return ()
        if self.each is None:
            self.each = Need(self.depth + 1, is_item=True)
        return (self.each,)

    def _is_enough(self) -> bool:
        self.whole = self.whole or self.depth >= DEEPEST
        return self.whole

    def of_lines(self, path: Sequence[str]) -> Need | None:
        """What is read of each item of a list.

        Args:
            path: The variable and the keys below it that lead to the list.

        Returns:
            None where the list is needed whole, or is not read as one.
        """
        need = self
        for name in path:
            if need.whole or need.tested or need.each is not None or name not in need.fields:
                return None
            need = need.fields[name]
        return None if need.whole or need.fields else need.each
