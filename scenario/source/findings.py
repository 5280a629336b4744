"""Findings of checks: one mistake each, with its place in a file."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import Any, Final, Literal, NamedTuple

from scenario.type_guards import Path

Severity = Literal["error", "warning"]
_BREAK: Final = re.compile(r"\r\n|\r|\n")


class Mark(NamedTuple):
    """A place in a text. Line and column count from 1, columns in characters."""

    line: int
    column: int


class Lines:
    """The lines of a text, ended by LF, CR LF or CR, to convert an index into line and column."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in _BREAK.finditer(text))]
        self._length = len(text)

    def mark(self, index: int) -> Mark:
        """Return the place of the character at an index. One past the end is the end."""
        index = max(0, min(index, self._length))
        line = bisect_right(self._starts, index)
        return Mark(line, index - self._starts[line - 1] + 1)


@dataclass(frozen=True, order=True, slots=True)
class Finding:
    """One mistake in a scenario file, or in a text that it refers to."""

    file: str
    line: int
    column: int
    """Column, from 1 as the line, in characters."""
    severity: Severity
    """An error forbids publishing; a warning does not."""
    code: str
    message: str
    did_you_mean: str | None = field(default=None, compare=False)
    """A suggestion of one word, which the message also contains."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity} {self.code}: {self.message}"

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if name != "did_you_mean" or value is not None}


class Flaw(NamedTuple):
    """A mistake in a part of a file whose keys and values are valid."""

    path: Path
    """Its path within the part; empty for the whole."""
    code: str
    message: str
    key: bool = False
    """True to point at the key instead of its value."""
    severity: Severity = "error"
    offset: int | None = None
    """Index in the text that it points at."""


def tidy(findings: Iterable[Finding], file: str) -> tuple[Finding, ...]:
    """Return findings in the order of the text, without duplicates; those about `file` first."""
    return tuple(sorted(set(findings), key=lambda finding: (finding.file != file, finding)))


def clip(text: str, length: int = 40) -> str:
    """Return the beginning of an author's text, for a message."""
    return text if len(text) <= length else f"{text[:length]}…"


def near(word: str, known: Collection[str]) -> str | None:
    """Return the known word that is most similar, or None."""
    spelt = {name.lower(): name for name in known}
    found = closest(word.lower().replace("-", "_"), spelt, 0.7)
    return None if found is None else spelt[found]


def closest(word: str, known: Iterable[str], alike: float = 0.6) -> str | None:
    """Return the known word that is spelled most alike, by `difflib`'s measure at least so much, or None."""
    return next(iter(get_close_matches(word, list(known), 1, alike)), None)


def listed(words: Iterable[str], last: str = "or") -> str:
    """Join words for a sentence: ``a, b or c``."""
    *most, end = words
    return f"{', '.join(most)} {last} {end}" if most else end
