"""What the linter reports."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Final, Literal

Severity = Literal["error", "warning"]

_NEWLINE: Final = re.compile(r"\r\n|\r|\n")
ALIKE: Final = 0.6
"""How much of two words must agree for one to be a misspelling of the other."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake in a template.

    Attributes:
        code: A short word for programs, such as ``unknown-field``.
        message: One sentence for the author, with the suggestion if there is one.
        severity: An error would fail or send what nobody wants; a warning is probably not what was meant.
        line: Counted from 1, in the template's own text.
        column: Counted from 1, in characters.
        offset: Index into the template's own text.
        suggestion: What was probably meant, or None.
        path: Which text of a structured body, as keys and indexes; empty for a text.
        in_key: Whether that text is the last key of the path itself, not its value.
        missing: The object that has no such field, as the template names it, and the field; None of other mistakes.
    """

    code: str
    message: str
    severity: Severity
    line: int
    column: int
    offset: int
    suggestion: str | None = None
    path: tuple[str | int, ...] = ()
    in_key: bool = False
    missing: tuple[str, str] | None = None

    def __str__(self) -> str:
        place = f"{'.'.join(map(str, self.path))} " if self.path else ""
        return f"{place}{self.line}:{self.column} {self.severity} {self.code}: {self.message}"


class Page:
    """The findings about one text.

    Attributes:
        source: The text.
        path: Which text of a structured body it is.
        in_key: Whether it is a key of that body.
        findings: What was found so far.
    """

    def __init__(self, source: str, path: tuple[str | int, ...] = (), *, in_key: bool = False) -> None:
        self.source, self.path, self.in_key = source, path, in_key
        self.findings: list[Finding] = []
        self._known: set[Finding] = set()

    def add(
        self,
        code: str,
        message: str,
        offset: int,
        *,
        severity: Severity = "error",
        suggestion: str | None = None,
        missing: tuple[str, str] | None = None,
    ) -> None:
        """Note a mistake.

        Args:
            code: See ``Finding``.
            message: One sentence, without the suggestion.
            offset: Index into the text; what lies outside is taken to its nearer end.
            severity: See ``Finding``.
            suggestion: What was probably meant.
            missing: See ``Finding``.
        """
        offset = min(max(offset, 0), len(self.source))
        line = bisect_right(self._starts, offset)
        column = offset - self._starts[line - 1] + 1
        if suggestion is not None:
            message = f"{message}: did you mean '{suggestion}'?"
        found = Finding(code, message, severity, line, column, offset, suggestion, self.path, self.in_key, missing)
        if found not in self._known:
            self._known.add(found)
            self.findings.append(found)

    @cached_property
    def _starts(self) -> list[int]:
        """Where lines begin, as `scenario.liquid.engine.errors.position` counts them; once, not for each mistake."""
        return [0, *(found.end() for found in _NEWLINE.finditer(self.source))]


def nearest(word: str, known: Iterable[str], alike: float = ALIKE) -> str | None:
    """The known word that was probably meant, or None."""
    found = get_close_matches(word, list(known), 1, alike)
    return found[0] if found else None
