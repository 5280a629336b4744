"""The base of view models: results as people and programs see them, described once.

The HTTP API returns a view, commands print it, pages read its attributes, and the reference is generated from the
docstrings of its fields.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

_Item = TypeVar("_Item")


class View(BaseModel):
    """A result. A docstring below a field is the field's description. Moments are in UTC."""

    model_config = ConfigDict(
        frozen=True,
        from_attributes=True,
        use_attribute_docstrings=True,
        json_schema_serialization_defaults_required=True,
    )


class PageView(View, Generic[_Item]):
    """One page of a list."""

    items: list[_Item]
    next: str | None = Field(description="The `cursor` of the next page; null if this is the last")
