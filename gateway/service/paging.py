"""Pages of long lists, and the cursors that lead from one page to the next.

A cursor is base64url of a JSON object, which callers must not rely on. It holds no secret. Anybody can make one, so it
is validated: use cases that list raise BadCursor for one of another list.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from gateway.errors import BadCursor

_Shape = TypeVar("_Shape")
_Item = TypeVar("_Item")


class _Id(TypedDict):
    id: str


class Numbered(TypedDict):
    """The place of an item in a list with numbers."""

    number: Annotated[int, Field(ge=0, le=2**31 - 1)]


@dataclass(frozen=True)
class PageRequest:
    """A request for one page of a list."""

    limit: int = 50
    cursor: str | None = None
    """The `next` of the page before, or None for the first page."""

    def place(self, shape: type[_Shape]) -> _Shape | None:
        """Return the place that the page begins after, or None for the first page. See `decode_cursor`."""
        return decode_cursor(self.cursor, shape) if self.cursor else None

    @property
    def number(self) -> int:
        """The number that the page begins after, or 0 for the first page."""
        place = self.place(Numbered)
        return place["number"] if place else 0

    async def item(self, find: Callable[[str], Awaitable[_Item | None]]) -> _Item | None:
        """Return the item that the page begins after, or None for the first page. The cursor has its `id`."""
        place = self.place(_Id)
        found = await find(place["id"]) if place else None
        if place and found is None:
            raise BadCursor
        return found

    def split(
        self, found: Sequence[_Item], place: Callable[[_Item], Mapping[str, Any]]
    ) -> tuple[Sequence[_Item], str | None]:
        """Return the items of the page, of one more if there are as many, and the cursor of the next page, or None."""
        items = found[: self.limit]
        return items, encode_cursor(place(items[-1])) if len(found) > self.limit else None


def encode_cursor(place: Mapping[str, Any]) -> str:
    """Return the cursor of a place: a JSON object, or values that pydantic can serialise."""
    return urlsafe_b64encode(_ANY.dump_json(dict(place))).decode().rstrip("=")


def decode_cursor(cursor: str, shape: type[_Shape]) -> _Shape:
    """Return the place of a cursor. Raise BadCursor if it is not one of this list.

    Args:
        shape: The type of the place, which validates it: a model, a dataclass, or a TypedDict of `typing_extensions`.
    """
    try:
        place = json.loads(urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
        return TypeAdapter(shape).validate_python(place)
    except (TypeError, ValueError, RecursionError):  # errors of pydantic, base64, JSON, Unicode and hexadecimal
        raise BadCursor from None


_ANY: Final = TypeAdapter(dict[str, Any])
