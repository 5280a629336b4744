"""Maps in requests: PHP and Lua write an empty one as ``[]``."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator

_Map = TypeVar("_Map")


def _empty(value: Any) -> Any:
    return {} if value == [] else value


Map = Annotated[_Map, BeforeValidator(_empty)]
"""A map, which may be written ``[]`` if it is empty."""
