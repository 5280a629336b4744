"""Refusals of files and of what they contain. Each message is one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Sequence

from scenario.source.findings import Finding


class Refusal(Exception):
    """A request that is not carried out."""


class BadInput(Refusal):
    """A file or an argument that cannot be read, or is wrong.

    Attributes:
        line: The line of the file that the text names, or None.
        at: Keys and indexes that lead to the mistake in JSON data; None if the text names the place.
        code: A stable word for the kind of mistake, for programs.
    """

    def __init__(
        self, text: str, *, line: int | None = None, at: Sequence[str | int] | None = None, code: str = "value"
    ) -> None:
        self.line, self.at, self.code = line, at, code
        super().__init__(text)


def unreadable(name: object, error: OSError, advice: str = "") -> BadInput:
    return BadInput(f"{name} cannot be read: {why(error)}{advice and f': {advice}'}")


def why(error: OSError) -> str:
    return (error.strerror or "it is not a file").lower()


class CheckFailed(Refusal):
    """A scenario file with errors."""

    def __init__(self, file: str, findings: Sequence[Finding]) -> None:
        self.file, self.findings = file, findings
        super().__init__(f"{file} has mistakes: nothing was published")
