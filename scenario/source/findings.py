"""What `scenario.check.check` reports: one mistake, at its place in a file."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple

Severity = Literal["error", "warning"]


class Mark(NamedTuple):
    """A place in a text; line and column count from 1, columns in characters, as editors show them."""

    line: int
    column: int


@dataclass(frozen=True, order=True, slots=True)
class Finding:
    """One thing wrong with a scenario file, or with a text that it refers to.

    Attributes:
        file: The file, as the caller named it.
        line: Counted from 1.
        column: Counted from 1, in characters.
        severity: A scenario with an error cannot be published; one with a warning can.
        code: A short word for programs, such as ``unknown-key``.
        message: One sentence for the author.
        did_you_mean: What was probably meant, where one word says that; it is in the message, too.
    """

    file: str
    line: int
    column: int
    severity: Severity
    code: str
    message: str
    did_you_mean: str | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.severity} {self.code}: {self.message}"

    def as_json(self) -> dict[str, Any]:
        """The finding as plain data, for ``--format json``."""
        return {name: value for name, value in asdict(self).items() if name != "did_you_mean" or value is not None}


def tidy(findings: Iterable[Finding], file: str) -> tuple[Finding, ...]:
    """Findings in the order of the text, each once; those about `file` before those about the files it refers to."""
    return tuple(sorted(set(findings), key=lambda finding: (finding.file != file, finding)))


def clip(text: str, length: int = 40) -> str:
    """An author's words for a message, not too many of them."""
    return text if len(text) <= length else f"{text[:length]}…"


def near(word: str, known: Collection[str]) -> str | None:
    """The known word that was probably meant, or None."""
    spelt = {name.lower(): name for name in known}
    matches = get_close_matches(word.lower().replace("-", "_"), spelt, 1, 0.7)
    return spelt[matches[0]] if matches else None


def listed(words: Iterable[str], last: str = "or") -> str:
    """Words as a sentence has them: ``a, b or c``."""
    *most, end = words
    return f"{', '.join(most)} {last} {end}" if most else end
