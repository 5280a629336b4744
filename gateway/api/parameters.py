"""Parameters that several routes share, and the objects of the application that routes use."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Path, Query, Request

from gateway.api.problem import CURSOR
from gateway.client import Services
from gateway.service.authoring import AuthoringService, ContentService
from gateway.service.view import PageRequest
from scenario.model.scalars import NAME

LONGEST_CURSOR: Final = 2048  # characters
Cursor = Annotated[
    str | None,
    Query(
        max_length=LONGEST_CURSOR,
        pattern=CURSOR,
        description="The `next` of the page before; without it, the first page",
    ),
]
"""The place at which a page begins."""


def _services(request: Request) -> Services:
    return request.app.state.client.services


def _authoring(request: Request) -> AuthoringService:
    return request.app.state.authoring


def _page(
    limit: Annotated[int, Query(ge=1, le=250, description="Maximum number of items on the page")] = 50,
    cursor: Cursor = None,
) -> PageRequest:
    return PageRequest(limit, cursor)


def _contents(request: Request) -> ContentService:
    return request.app.state.contents


Use = Annotated[Services, Depends(_services)]  # the use cases
Author = Annotated[AuthoringService, Depends(_authoring)]  # the use cases of authors
Contents = Annotated[ContentService, Depends(_contents)]  # the use case that shows the content of deliveries
Paging = Annotated[PageRequest, Depends(_page)]  # the page of a list
JourneyId = Annotated[
    str,
    Path(
        alias="id",
        min_length=1,
        max_length=1000,
        description="The journey's id, with slashes or with %2F instead of them",
        examples=["post-purchase/3028687/CGX0094"],
    ),
]
ScenarioFilter = Annotated[
    str | None,
    Query(max_length=100, description="Only those of this scenario; required with a key for some scenarios"),
]
ScenarioName = Annotated[
    str, Path(max_length=100, pattern=NAME, description="The scenario's name", examples=["post-purchase"])
]
