"""An activity as its caller sees it, and how its result is read, whichever version of a worker it comes from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import TypeAdapter
from pydantic_core import from_json

if TYPE_CHECKING:  # previews are made of the same names and arguments, and have no Temporal
    from temporalio.common import RawValue

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass(frozen=True)
class ActivityType(Generic[Argument, Result]):
    """An activity as its caller sees it.

    Attributes:
        name: The activity type.
        argument: The class of its one argument.
        result: The class of its result.
        queue: The task queue it is sent to; None for a local activity.
        instead: What a journey takes for the answer where it cannot be read, if there is anything to take.
        reader: Reads a result. Made with the call, once in a process: that takes milliseconds, and a workflow's thread
            has none to spare.
    """

    name: str
    argument: type[Argument]
    result: type[Result]
    queue: str | None = None
    instead: Result | None = None
    reader: TypeAdapter[Result] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the reader."""
        object.__setattr__(self, "reader", TypeAdapter(self.result))

    def read(self, answer: RawValue | None) -> Result:
        """Read what the activity answered.

        Raises:
            ValueError: It cannot be read.
        """
        return self.reader.validate_json(_json(answer))


def plain(answer: RawValue | None) -> Any:
    """What an activity answered, whatever it is.

    Raises:
        ValueError: It is not JSON.
    """
    return from_json(_json(answer), allow_inf_nan=False)


def _json(answer: RawValue | None) -> bytes:
    """Return the text of an answer; nothing, which is not JSON, where it is in another encoding."""
    if answer is None or answer.payload.metadata.get("encoding") != b"json/plain":
        return b""
    return answer.payload.data
