"""The exceptions of the scenario language.

Each message is one sentence for authors of scenarios. It never quotes a contact's data, because messages end up in
logs, in Temporal's history and in its UI.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import override


class ScenarioError(Exception):
    """A mistake in a scenario, a template or an entry."""


class DurationError(ScenarioError):
    """A malformed duration."""


class EntryError(ScenarioError):
    """A malformed entry. The mistake is at some keys and indexes, or unknown."""

    def __init__(self, text: str, *, at: Sequence[str | int] = (), meant: str | None = None) -> None:
        self.at, self.meant = tuple(at), meant
        super().__init__(text)


class DateError(EntryError):
    """A text that may be several dates."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem}: write it as 2026-03-29 or 29.03.2026")


class NumberError(ScenarioError):
    """A text that may be several numbers."""

    def __init__(self) -> None:
        super().__init__(
            "the separator in a number such as 1.234 may be of thousands or of decimals: name the language in which "
            "it is written, as in number: 'de'"
        )


class TemplateError(ScenarioError):
    """A template that cannot be parsed or rendered.

    Attributes:
        at: The part of a structured body or a message, such as ``lines[0].name``; else empty.
        line: Line in the template's own text, from 1, or None.
        column: Column in that line, from 1, or None.
        offset: Index into that text, from 0, or None.
    """

    def __init__(
        self,
        reason: str,
        *,
        at: str = "",
        line: int | None = None,
        column: int | None = None,
        offset: int | None = None,
    ) -> None:
        self.reason, self.at, self.line, self.column, self.offset = reason, at, line, column, offset
        super().__init__(f"{self.sentence} (line {line}, column {column})" if line is not None else self.sentence)

    @property
    def sentence(self) -> str:
        """The reason without a position."""
        return f"{self.at}: {self.reason}" if self.at else self.reason

    def within(self, part: str) -> TemplateError:
        """Return the same error as one of a message's part."""
        return type(self)(self.reason, **self._place(part))

    def _place(self, part: str) -> dict[str, Any]:
        at = f"{part}: {self.at}" if self.at else part
        return {"at": at, "line": self.line, "column": self.column, "offset": self.offset}


class LimitExceeded(TemplateError):
    """A template that exceeds a limit: steps, seconds, output, nesting, source size."""


class MissingVariable(TemplateError):
    """A template that needs a missing variable or field.

    Attributes:
        path: The variable and the keys below it: ``("secrets", "TOKEN")``. Keys may be computed from data, so show only
            known ones.
    """

    def __init__(self, reason: str, path: tuple[object, ...], **place: Any) -> None:
        self.path = path
        super().__init__(reason, **place)

    @override
    def within(self, part: str) -> MissingVariable:
        return MissingVariable(self.reason, self.path, **self._place(part))


class BadRecipient(ScenarioError):
    """An unusable address or number of a contact. `word` is for the log of attempts."""

    word = "bad_recipient"


class NotConfigured(ScenarioError):
    """A delivery that needs a missing setting: a destination, a secret."""


class Aborted(ScenarioError):
    """Nothing should be sent: ``{% abort 'reason' %}``, or no recipient."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
