"""The parameters `limit` and `cursor` of lists."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Query

from gateway.api.problem import CURSOR
from gateway.service.paging import PageRequest

MOST: Final = 2048
"""Maximum length of a cursor, in characters."""

Limit = Annotated[int, Query(ge=1, le=250, description="Maximum number of items on the page")]
Cursor = Annotated[
    str | None,
    Query(max_length=MOST, pattern=CURSOR, description="The `next` of the page before; without it, the first page"),
]


def _page(limit: Limit = 50, cursor: Cursor = None) -> PageRequest:
    return PageRequest(limit, cursor)


Paging = Annotated[PageRequest, Depends(_page)]
"""The page that a request asks for."""
