"""The data that templates read, as a tree down to the fields of list items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

MAX_DEPTH: Final = 16
"""Levels of the tree; deeper data is included whole. A loop may assign a variable to one of its own fields."""


@dataclass(eq=False, slots=True)
class DataUsage:
    """The usage of one value.

    Only the data determine the type of a value. A value that is read as a list but is an object is included whole, and
    so is an item that is a list itself.

    Attributes:
        depth: Levels above it.
        whole: Whether all of it may be read.
        tested: Whether its existence is tested.
        each: The usage of its items, if it is read as a list.
        fields: The usage of its fields, if it is read as an object.
    """

    depth: int = 0
    is_item: bool = False
    whole: bool = False
    tested: bool = False
    each: DataUsage | None = None
    fields: dict[str, DataUsage] = field(default_factory=dict[str, "DataUsage"])

    def field_usage(self, name: str) -> Iterable[DataUsage]:
        """Return the usage of a field, or nothing if the object is included whole."""
        if self._is_enough():
            return ()
        if name not in self.fields:
            self.fields[name] = DataUsage(self.depth + 1)
        return (self.fields[name],)

    def item_usage(self) -> Iterable[DataUsage]:
        """Return the usage of the items, or nothing if the list is included whole."""
        if self._is_enough():
            return ()
        if self.each is None:
            self.each = DataUsage(self.depth + 1, is_item=True)
        return (self.each,)

    def _is_enough(self) -> bool:
        self.whole = self.whole or self.depth >= MAX_DEPTH
        return self.whole

    def list_item_usage(self, path: Sequence[str]) -> DataUsage | None:
        """Return the usage of a list's items, or None if the list is included whole or not read as a list."""
        need = self
        for name in path:
            if need.whole or need.tested or need.each is not None or name not in need.fields:
                return None
            need = need.fields[name]
        return None if need.whole or need.fields else need.each
