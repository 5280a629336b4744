"""Edits of a text, and the parts that could not be converted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, order=True, slots=True)
class Unconverted:
    """A part that was not converted.

    Line and column count from 1. The message has the reason and the remedy.
    """

    line: int
    column: int
    message: str

    def as_json(self) -> dict[str, Any]:
        return {"line": self.line, "column": self.column, "message": self.message}


class Edit(NamedTuple):
    """A replacement of the characters from ``start`` up to ``end``."""

    start: int
    end: int
    text: str


class UnconvertedOffset(NamedTuple):
    """A part that was not converted, by its index in the text."""

    offset: int
    message: str


@dataclass(frozen=True)
class Edits:
    """The edits of a text."""

    edits: tuple[Edit, ...]
    """In order, without overlaps."""
    unconverted: tuple[UnconvertedOffset, ...]
    numbers: frozenset[int]
    """The custom fields that are named by number."""

    def apply(self, source: str) -> str:
        pieces: list[str] = []
        at = 0
        for edit in self.edits:
            pieces += (source[at : edit.start], edit.text)
            at = edit.end
        return "".join((*pieces, source[at:]))

    def source_offset(self, offset: int) -> int:
        """Return the index in the source for an index in the result."""
        shift = 0
        for edit in self.edits:
            if edit.start + shift > offset:
                break
            if edit.start + shift + len(edit.text) > offset:
                return edit.start
            shift += len(edit.text) - (edit.end - edit.start)
        return offset - shift
