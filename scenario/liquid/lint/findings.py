"""The linter's results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from scenario.source.findings import Lines, Severity


@dataclass(frozen=True, slots=True)
class TemplateFinding:
    """One mistake in a template."""

    code: str
    """A stable identifier, such as ``unknown-field``."""
    message: str
    """One sentence for the author, including the suggestion."""
    severity: Severity
    """An error would fail or send wrong text; a warning is probably not intended."""
    line: int
    """From 1, in the template's text."""
    column: int
    """From 1, in characters."""
    offset: int
    suggestion: str | None = None
    path: tuple[str | int, ...] = ()
    """The keys and indexes of a text in a structured body."""
    in_key: bool = False
    """Whether the text is the last key of the path instead of its value."""
    missing: tuple[str, str] | None = None
    """An unknown field: its object as named in the template, and the field."""

    def __str__(self) -> str:
        place = f"{'.'.join(map(str, self.path))} " if self.path else ""
        return f"{place}{self.line}:{self.column} {self.severity} {self.code}: {self.message}"


class LintedText:
    """A text, which may be part of a structured body, and its mistakes so far."""

    def __init__(self, source: str, path: tuple[str | int, ...] = (), *, in_key: bool = False) -> None:
        self.source, self.path, self.in_key = source, path, in_key
        self.findings: list[TemplateFinding] = []
        self._known: set[TemplateFinding] = set()

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
        """Report a mistake, unless it has been reported. The offset is clamped to the text."""
        offset = min(max(offset, 0), len(self.source))
        line, column = self._lines.mark(offset)
        if suggestion is not None:
            message = f"{message}: did you mean '{suggestion}'?"
        found = TemplateFinding(
            code, message, severity, line, column, offset, suggestion, self.path, self.in_key, missing
        )
        if found not in self._known:
            self._known.add(found)
            self.findings.append(found)

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self.source)
