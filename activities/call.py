"""Activities as their callers see them, and reading of results from other versions of workers."""

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
    """An activity as its caller sees it."""

    name: str
    argument: type[Argument]
    result: type[Result]
    queue: str | None = None  # its task queue; None for a local activity
    instead: Result | None = None  # the result to use if the answer is unreadable, if any
    reader: TypeAdapter[Result] = field(init=False, repr=False, compare=False)  # reads results; made once per process

    def __post_init__(self) -> None:
        object.__setattr__(self, "reader", TypeAdapter(self.result))

    def read(self, answer: RawValue | None) -> Result:
        """Read the activity's result. Raise ValueError if it is unreadable."""
        return self.reader.validate_json(_json(answer))


def plain(answer: RawValue | None) -> Any:
    """Return the activity's result as JSON data. Raise ValueError if it is not JSON."""
    return from_json(_json(answer), allow_inf_nan=False)


def _json(answer: RawValue | None) -> bytes:
    """Return the text of a result, or nothing if it has another encoding."""
    if answer is None or answer.payload.metadata.get("encoding") != b"json/plain":
        return b""
    return answer.payload.data
