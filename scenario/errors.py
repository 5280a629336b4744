"""What can be wrong, as one small tree of exceptions.

    ScenarioError
    ├── DurationError      a duration that cannot be read
    ├── EntryError         an entry, contact or trigger that cannot be accepted
    ├── TemplateError      a template that cannot be parsed or rendered
    │   ├── LimitExceeded    a template that takes too many steps, too long or too much room
    │   └── MissingVariable  a template that needs what is not there
    ├── BadRecipient       a contact's address or number that nothing can be sent to
    ├── NotConfigured      a delivery that needs what this process is not set up for
    └── Aborted            not a mistake: a template said ``{% abort 'reason' %}``, or there is nobody to send to

Each message is one sentence that a person who writes scenarios understands. It never quotes a contact's data:
messages end up in logs, in Temporal's history and in its UI.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typing_extensions import override


class ScenarioError(Exception):
    """Anything wrong with a scenario, a template or an entry."""


class DurationError(ScenarioError):
    """A duration that is neither ``90s 15m 2h 3d 2w`` nor ISO 8601."""


class EntryError(ScenarioError):
    """An entry that is not one: no object, no contact, no id, an unknown trigger.

    Attributes:
        at: Keys and indexes that lead to what is wrong; empty where it is the whole, or the place is not known.
        meant: The name that was probably meant there.
    """

    def __init__(self, text: str, *, at: Sequence[str | int] = (), meant: str | None = None) -> None:
        self.at, self.meant = tuple(at), meant
        super().__init__(text)


class TemplateError(ScenarioError):
    """A template that cannot be parsed or rendered.

    Attributes:
        reason: What is wrong, without a place.
        at: Which part of a structured body or of a message is meant, such as ``lines[0].name``; else empty.
        line: 1-based line in the template's own text, or None where no position is known.
        column: 1-based column in that line, or None.
        offset: 0-based index into the template's text, or None.
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
        """What is wrong, without a position."""
        return f"{self.at}: {self.reason}" if self.at else self.reason

    def within(self, part: str) -> TemplateError:
        """The same error as one of a message's part: a line without it could be any in the file."""
        return type(self)(self.reason, **self._place(part))

    def _place(self, part: str) -> dict[str, Any]:
        at = f"{part}: {self.at}" if self.at else part
        return {"at": at, "line": self.line, "column": self.column, "offset": self.offset}


class LimitExceeded(TemplateError):
    """A template that went over one of the engine's bounds (steps, seconds, output, nesting, source size)."""


class MissingVariable(TemplateError):
    """A template that needs a variable, or something in it, that is not there.

    Attributes:
        path: The variable and the keys below it: ``("secrets", "TOKEN")``. A template may work keys out from data: show
            none that is not known to be no datum.
    """

    def __init__(
        self,
        reason: str,
        path: tuple[object, ...],
        *,
        at: str = "",
        line: int | None = None,
        column: int | None = None,
        offset: int | None = None,
    ) -> None:
        self.path = path
        super().__init__(reason, at=at, line=line, column=column, offset=offset)

    @override
    def within(self, part: str) -> MissingVariable:
        return MissingVariable(self.reason, self.path, **self._place(part))


class BadRecipient(ScenarioError):
    """A contact's address or number that nothing can be sent to.

    Attributes:
        word: Class of the error, in one word, for the log of attempts.
    """

    word = "bad_recipient"


class NotConfigured(ScenarioError):
    """A delivery that needs what this process is not set up for: a destination, a secret."""


class Aborted(ScenarioError):
    """Nothing should be sent: a template said so at run time (``{% abort 'reason' %}``), or there is nobody to send to.

    Attributes:
        reason: The text given to the tag.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
