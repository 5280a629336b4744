"""The base of view models: results as people and programs see them, described once; and pages of long lists.

The HTTP API returns a view, commands print it, pages read its attributes, and the reference is generated from the
docstrings of its fields.

A cursor leads from one page to the next. It is base64url of a JSON array, which callers must not rely on. It holds no
secret. Anybody can make one, so it is validated: use cases that list raise BadCursor for one whose values are not of
the kinds of their own, or that names an unknown item.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any, Final, Generic, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    TypeAdapter,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from service.errors import BadCursor

_Item = TypeVar("_Item")
_Shape = TypeVar("_Shape")


class View(BaseModel):
    """A result. A docstring below a field is the field's description. Moments are in UTC."""

    model_config = ConfigDict(
        frozen=True,
        from_attributes=True,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )

    @classmethod
    def from_record(cls, record: object, **others: Any) -> Self:
        """Return the view of an object that has attributes of the same names, except for `others`."""
        same = {name: getattr(record, name) for name in cls.model_fields.keys() - others if hasattr(record, name)}
        return cls.model_validate(same | others)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        """Leave out defaults, which a result never omits, and marks of computed fields."""
        schema = handler(core_schema)
        for field in handler.resolve_ref_schema(schema).get("properties", {}).values():
            field.pop("default", None)
            field.pop("readOnly", None)
        return schema


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # an offset carries it beyond the year 1 or 9999
        raise ValueError("in UTC, this is before the year 1 or after 9999") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]  # a time in a request: with its offset, and converted to UTC
Zone = Annotated[tzinfo, PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})]
"""A time zone, as its IANA name in JSON."""


class PageView(View, Generic[_Item]):
    """One page of a list."""

    items: list[_Item]
    next: str | None = Field(description="The `cursor` of the next page; null if this is the last")


Ordinal = Annotated[int, Field(ge=0, le=2**31 - 1)]  # the number of an item, in a cursor


@dataclass(frozen=True)
class PageRequest:
    """A request for one page of a list."""

    limit: int = 50
    cursor: str | None = None  # the `next` of the page before, or None for the first page

    def place(self, shape: type[_Shape]) -> _Shape | None:
        """Return the place that the page begins after, or None for the first page.

        `shape` has the types of its values. Raise BadCursor if they are others.
        """
        if not self.cursor:
            return None
        try:
            place = json.loads(urlsafe_b64decode(self.cursor.encode() + b"=" * (-len(self.cursor) % 4)))
            return TypeAdapter(shape).validate_python(place)
        except (TypeError, ValueError, RecursionError):  # errors of pydantic, base64, JSON, Unicode and hexadecimal
            raise BadCursor from None

    @property
    def number(self) -> int:
        """The number that the page begins after, or 0 for the first page."""
        place = self.place(tuple[Ordinal])
        return place[0] if place else 0

    async def item(self, find: Callable[[str], Awaitable[_Item | None]]) -> _Item | None:
        """Return the item that the page begins after, or None for the first page. The cursor has its id."""
        place = self.place(tuple[str])
        found = await find(*place) if place else None
        if place and found is None:
            raise BadCursor
        return found

    def split(
        self, found: Sequence[_Item], place: Callable[[_Item], Sequence[Any]]
    ) -> tuple[Sequence[_Item], str | None]:
        """Return the items of the page, of one more if there are as many, and the cursor of the next page, or None."""
        items = found[: self.limit]
        return items, encode_cursor(place(items[-1])) if len(found) > self.limit else None


def encode_cursor(place: Sequence[Any]) -> str:
    """Return the cursor of a place: values that pydantic can serialise."""
    return urlsafe_b64encode(_ANY.dump_json(place)).decode().rstrip("=")


_ANY: Final = TypeAdapter(Sequence[Any])
