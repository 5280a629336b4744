"""The base of view models: results as people and programs see them, described once.

The HTTP API returns a view, commands print it, pages read its attributes, and the reference is generated from the
docstrings of its fields.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

_Item = TypeVar("_Item")


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


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time in a request: with its offset, and converted to UTC."""
Zone = Annotated[tzinfo, PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})]
"""A time zone, as its IANA name in JSON."""


class PageView(View, Generic[_Item]):
    """One page of a list."""

    items: list[_Item]
    next: str | None = Field(description="The `cursor` of the next page; null if this is the last")
