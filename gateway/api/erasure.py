"""``DELETE /v1/contacts/{contact}`` and ``/v1/erasures``: erase contacts, and show erasures."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field, StringConstraints
from typing_extensions import TypedDict

from gateway.api.app_state import Client
from gateway.api.authorization import Erasing
from gateway.api.cursor import Cursor, Limit
from gateway.api.events import PathId
from gateway.api.problem import Problem, problems
from gateway.erasing import ErasureView
from gateway.errors import BadCursor, UnknownErasure
from gateway.service.caller import Caller
from gateway.service.paging import decode_cursor, encode_cursor

router = APIRouter()

Id = Annotated[str, Path(alias="id", min_length=1, max_length=80, description="The erasure's id")]


class ErasuresBody(BaseModel):
    """A page of erasures."""

    items: list[ErasureView]
    next: str | None = Field(description="The `cursor` of the next page; null where there is none")


class _Place(TypedDict):
    erasure: str


@router.delete(
    "/contacts/{contact:path}",
    operation_id="eraseContact",
    status_code=202,
    responses={
        **problems("not-found"),
        202: {"headers": {"Location": {"description": "The erasure", "schema": {"type": "string"}}}},
        200: {"model": ErasureView, "description": "A dry run: what would be erased"},
    },
    tags=["contacts"],
)
async def erase_contact(
    contact: PathId,
    client: Client,
    caller: Erasing,
    response: Response,
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500), Query(description="For the report.")],
    dry_run: Annotated[bool, Query(description="Only report what would be erased.")] = False,
) -> ErasureView:
    """Start the erasure of a contact: refuse its entries, end its journeys, make its stored data unreadable.

    A worker finishes the erasure within some minutes. It cannot be undone. A request during an erasure returns that
    erasure; a later one starts another. The key must be for all scenarios.
    """
    _check(caller)
    begun = await client.erase(contact, operator=caller.name, reason=reason, dry_run=dry_run)
    if dry_run:
        response.status_code = 200
    else:
        response.headers["location"] = f"/v1/erasures/{begun.id}"
    return begun


@router.get("/erasures", tags=["contacts"])
async def list_erasures(
    client: Client,
    caller: Erasing,
    is_open: Annotated[bool, Query(alias="open", description="Only those that are not finished")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ErasuresBody:
    """List erasures, newest first. The key must be for all scenarios."""
    _check(caller)
    after = decode_cursor(cursor, _Place)["erasure"] if cursor else None
    try:
        found = await client.erasures(is_open=is_open, after=after, limit=limit + 1)
    except UnknownErasure:
        raise BadCursor() from None
    page = found[:limit]
    following = encode_cursor({"erasure": page[-1].id}) if len(found) > limit else None
    return ErasuresBody(items=page, next=following)


@router.get("/erasures/{id}", responses=problems("not-found"), tags=["contacts"])
async def show_erasure(erasure: Id, client: Client, caller: Erasing) -> ErasureView:
    """Return an erasure: its progress, and its report once it is finished. The key must be for all scenarios."""
    _check(caller)
    return await client.erasure(erasure)


def _check(caller: Caller) -> None:
    if caller.scenarios is not None:
        raise Problem("forbidden", "this key is for some scenarios: erasing needs one that is for all")
