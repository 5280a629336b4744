"""Refusals of the gateway. Each message is one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Sequence

from authoring.errors import BadInput, Refusal


class BadOperation(BadInput):
    """A request for an operation on many journeys that makes no sense."""

    def __init__(self, text: str, *at: str) -> None:
        super().__init__(text, at=at, code="operation")


class BadCursor(BadInput):
    """A cursor of another list."""

    def __init__(self) -> None:
        text = "this is not a cursor of this list: give back the `next` of the previous page, unchanged"
        super().__init__(text, code="cursor")


class UnknownScenario(BadInput):
    """A scenario or version that is not published."""


class BadCombination(BadInput):
    """Parameters that exclude each other, or need another one. The first of them may have its place: `path:name`."""

    def __init__(self, parameter: str, text: str, *, code: str = "combination") -> None:
        self.parameter = parameter
        super().__init__(text, code=code)


class Forbidden(Refusal):
    """A caller who lacks a scope or may not use a scenario."""


class Busy(Refusal):
    """Too many others make the same request at this moment."""


class TooMany(Refusal):
    """The caller has used up a limit. The next request is allowed in some seconds."""

    def __init__(self, text: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(text)


class NotEntered(Refusal):
    """A contact that is not admitted, and the journey that was refused or is running, if there is one."""

    def __init__(self, text: str, *, journey: str | None = None) -> None:
        self.journey = journey
        super().__init__(text)


class MistakenEntry(NotEntered):
    """An entry that is wrong.

    Attributes:
        at: Keys and indexes that lead to the mistake; empty if it is the whole, or the place is not known.
        meant: The probable intention, if a known name is similar.
    """

    def __init__(self, text: str, *, at: Sequence[str | int] = (), meant: str | None = None) -> None:
        self.at, self.meant = tuple(at), meant
        super().__init__(text)


class UnderWay(NotEntered):
    """A contact whose journey is running."""


class NotAccepted(Refusal):
    """An operation that was refused. The `reason` is without the journey's id."""

    def __init__(self, journey: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{journey}: {reason}")


class NotAnswered(NotAccepted):
    """An operation that no worker answered in time. A worker may still carry it out later."""


class JourneyStuck(NotAccepted):
    """An operation on a journey whose workflow tasks fail until an operator removes the cause."""


class NotFound(Refusal):
    """Something that does not exist, such as a journey that neither Temporal nor the store knows."""


class JourneyFailed(Refusal):
    """A journey that failed, or was terminated, and has no result."""
