"""Collects the findings about one scenario file."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from functools import cached_property
from typing import Final

from scenario.source.findings import Finding, Flaw, Lines, Mark, Severity, tidy
from scenario.source.source import Source
from scenario.type_guards import Path

_ACCEPTED: Final = re.compile(r"(?:^|\s)#\s*check:\s*ignore\s+([\w-]+(?:\s*,\s*[\w-]+)*)\s*$")


class Report:
    """The findings about a source and the texts it refers to.

    A comment ``# check: ignore which-event`` suppresses a warning at its line, at its key's line, or on the next line.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._findings = list(source.findings)
        self._texts: dict[Path, tuple[str, Lines]] = {}
        self._told: set[Path] = set()

    def add(
        self,
        path: Path,
        code: str,
        message: str,
        *,
        key: bool = False,
        offset: int | None = None,
        severity: Severity = "error",
        meant: str | None = None,
    ) -> None:
        """Add a finding.

        Args:
            code: A short word for programs.
            message: One sentence for the author.
            key: True to point at the key instead of its value.
            offset: Index of a character in the value's text (or the key), to point at that.
            severity: An error forbids publishing.
            meant: A suggestion of one word.
        """
        self._told.add(path)
        file, mark = self._place(path, key, offset)
        if severity == "warning" and code in self._accepted_at(path, file, mark):
            return
        if code == "syntax":  # where an output cannot be read, advice to quote it is noise
            place = (file, mark.line, mark.column, "quotes")
            self._findings = [one for one in self._findings if (one.file, one.line, one.column, one.code) != place]
        self._findings.append(Finding(file, mark.line, mark.column, severity, code, message, meant))

    def add_flaws(self, part: Path, flaws: Iterable[Flaw]) -> None:
        """Add the findings about the part of the file at a path."""
        for flaw in flaws:
            self.add(
                (*part, *flaw.path), flaw.code, flaw.message, key=flaw.key, offset=flaw.offset, severity=flaw.severity
            )

    @cached_property
    def _accepted(self) -> dict[int, set[str]]:
        """Return the codes that comments suppress, by line."""
        accepted: dict[int, set[str]] = {}
        for number, line in enumerate(self._source.text.splitlines(), 1):
            if found := _ACCEPTED.search(line):
                about = number + 1 if line.lstrip().startswith("#") else number
                accepted.setdefault(about, set()).update(code.strip() for code in found[1].split(","))
        return accepted

    def _accepted_at(self, path: Path, file: str, mark: Mark) -> set[str]:
        if not self._accepted:
            return set()
        lines = {self._source.key(path).line}
        if file == self._source.file and mark.line == self._source.at(path).line:
            lines.add(mark.line)  # else it is inside of a text, where a comment would be sent
        return set[str]().union(*(self._accepted.get(line, ()) for line in lines))

    def knows(self, path: Path) -> bool:
        """Return True if there is already a finding about the value at a path."""
        return path in self._told

    def line(self, path: Path) -> int:
        """Return the line on which a value begins."""
        return self._source.at(path).line

    def inlined(self, path: Path, reference: str, text: str) -> None:
        """Record that the value at `path` is another file's text, so that findings in it name that file."""
        file = posixpath.normpath(posixpath.join(posixpath.dirname(self._source.file), reference))
        self._texts[path] = (file, Lines(text))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings in the order of the file, without duplicates."""
        return tidy(self._findings, self._source.file)

    @property
    def has_errors(self) -> bool:
        return any(finding.severity == "error" for finding in self._findings)

    def _place(self, path: Path, key: bool, offset: int | None) -> tuple[str, Mark]:
        if offset is not None and path in self._texts:
            file, lines = self._texts[path]
            return file, lines.mark(offset)
        if offset is not None:
            return self._source.file, self._source.inside(path, offset, key=key)
        return self._source.file, self._source.key(path) if key else self._source.at(path)
