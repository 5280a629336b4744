"""What is to be done to a text, and what is left of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, order=True, slots=True)
class Left:
    """Something that was not converted.

    Attributes:
        line: Its line, from 1.
        column: Its column, from 1, in characters.
        message: Why, and what to do, in one sentence.
    """

    line: int
    column: int
    message: str

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"line": self.line, "column": self.column, "message": self.message}


class Edit(NamedTuple):
    """A part of a text that becomes another.

    Attributes:
        start: Where it begins, from 0.
        end: Where it ends.
        text: What stands there then.
    """

    start: int
    end: int
    text: str


class Remainder(NamedTuple):
    """What is left, by its place in the text, from 0."""

    offset: int
    message: str


@dataclass(frozen=True)
class Edits:
    """What is to be done to a text.

    Attributes:
        edits: In order, without overlaps.
        left: In order.
        numbers: The custom fields that were named by number, since their names are not known.
    """

    edits: tuple[Edit, ...]
    left: tuple[Remainder, ...]
    numbers: frozenset[int]

    def apply(self, source: str) -> str:
        """The text with everything done."""
        pieces: list[str] = []
        at = 0
        for edit in self.edits:
            pieces += (source[at : edit.start], edit.text)
            at = edit.end
        return "".join((*pieces, source[at:]))

    def before(self, offset: int) -> int:
        """The place in the old text that a place in the new one comes from."""
        shift = 0
        for edit in self.edits:
            if edit.start + shift > offset:
                break
            if edit.start + shift + len(edit.text) > offset:
                return edit.start
            shift += len(edit.text) - (edit.end - edit.start)
        return offset - shift
