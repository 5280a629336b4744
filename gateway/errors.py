"""What the ways in refuse, as one small tree. Each message is one sentence that says what to do.

Refusal
├── BadInput        a file or an argument that cannot be read
│   ├── BadOperation what an operation on many journeys is to do, or to whom
│   ├── UnknownScenario a scenario or version that is not published
│   ├── BadCombination parameters that exclude each other
│   └── BadCursor    a cursor that is not one of the list
├── Busy            too many others ask at this moment
├── Forbidden       a caller who lacks a scope or may not use a scenario
├── CheckFailed     a scenario file with mistakes
├── NotEntered      a contact that is not admitted
│   ├── MistakenEntry  since the entry itself is wrong
│   └── UnderWay       since its journey is under way
├── NotAccepted     an operation that makes no sense
│   ├── NotAnswered an operation that no worker took
│   └── JourneyStuck an operation on a journey whose workflow tasks fail
├── UnknownJourney  a journey that nobody knows
├── UnknownContact  a contact that nobody knows
├── UnknownOperation an operation on many journeys that nobody knows
├── UnknownErasure  an erasure that nobody knows
└── JourneyFailed   a journey that ended without a result
"""

from __future__ import annotations

from collections.abc import Sequence

from scenario.source.findings import Finding


class Refusal(Exception):
    """Something that was asked for and is not done."""


class BadInput(Refusal):
    """A file or an argument cannot be read, or is not what is wanted there.

    Attributes:
        line: The line of the file that the text names; None where it names none.
        at: Keys and indexes that lead to the mistake in JSON data; None if the text says where it is.
        code: A stable word for the kind of mistake, for programs.
    """

    def __init__(
        self, text: str, *, line: int | None = None, at: Sequence[str | int] | None = None, code: str = "value"
    ) -> None:
        self.line, self.at, self.code = line, at, code
        super().__init__(text)


class BadOperation(BadInput):
    """What an operation on many journeys is to do, or to whom, makes no sense."""

    def __init__(self, text: str, *at: str) -> None:
        super().__init__(text, at=at, code="operation")


class BadCursor(BadInput):
    """A cursor is not one of the list that it was sent for."""

    def __init__(self) -> None:
        text = "this is not a cursor of this list: give back the `next` of the previous page, unchanged"
        super().__init__(text, code="cursor")


class UnknownScenario(BadInput):
    """There is no such scenario, or it has no such version."""


class BadCombination(BadInput):
    """Parameters of a query that exclude each other, or need another one."""

    def __init__(self, parameter: str, text: str) -> None:
        self.parameter = parameter
        super().__init__(text, code="combination")


class Forbidden(Refusal):
    """The caller lacks a scope, or may not use a scenario."""


class Busy(Refusal):
    """Too many others ask for the same at this moment."""


def unreadable(name: object, error: OSError, advice: str = "") -> BadInput:
    """What to tell a person of a file that cannot be read."""
    return BadInput(f"{name} cannot be read: {why(error)}{advice and f': {advice}'}")


def why(error: OSError) -> str:
    """What is wrong with a file, as the system says it."""
    return (error.strerror or "it is not a file").lower()


class CheckFailed(Refusal):
    """A scenario file has mistakes.

    Attributes:
        findings: All of them.
    """

    def __init__(self, file: str, findings: Sequence[Finding]) -> None:
        self.findings = findings
        super().__init__(f"{file} has mistakes: nothing was published")


class NotEntered(Refusal):
    """A contact is not admitted.

    Attributes:
        journey: The journey that was started and refused; None where none was.
    """

    def __init__(self, text: str, *, journey: str | None = None) -> None:
        self.journey = journey
        super().__init__(text)


class MistakenEntry(NotEntered):
    """The entry itself is wrong: whoever made it has to mend it.

    Attributes:
        at: Keys and indexes that lead to the mistake; empty where it is the whole, or the place is not known.
        meant: What was probably meant there, if anything is like it.
    """

    def __init__(self, text: str, *, at: Sequence[str | int] = (), meant: str | None = None) -> None:
        self.at, self.meant = tuple(at), meant
        super().__init__(text)


class UnderWay(NotEntered):
    """The contact's journey is under way.

    Attributes:
        journey: Its id.
    """


class NotAccepted(Refusal):
    """An operation was refused.

    Attributes:
        reason: Why, without the journey's id.
    """

    def __init__(self, journey: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{journey}: {reason}")


class NotAnswered(NotAccepted):
    """No worker took an operation in time. One that comes later may still carry it out."""


class JourneyStuck(NotAccepted):
    """A journey cannot be asked: its workflow tasks fail until an operator mends the cause."""


class UnknownJourney(Refusal):
    """There is no such journey."""


class UnknownContact(Refusal):
    """No journey was ever this contact's."""


class UnknownOperation(Refusal):
    """There is no such operation on many journeys."""


class UnknownErasure(Refusal):
    """There is no such erasure."""


class JourneyFailed(Refusal):
    """A journey failed, or was terminated, and has no result."""
