"""``/v1/contacts`` and ``/v1/erasures``: explain, change and erase contacts, and show erasures."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request, Response
from pydantic import AfterValidator, StringConstraints

from gateway.api.authorization import Erasing, Reading, Reporting
from gateway.api.events import Id
from gateway.api.idempotency import keep_answer_if
from gateway.api.parameters import Cursor, Paging, Use
from gateway.api.problem import problems
from gateway.service.erasures import ErasureView
from gateway.service.events import ChangeView
from gateway.service.view import Moment, PageView
from gateway.why.why import WhyView

router = APIRouter(tags=["contacts"])


def _not_blank(contact: str | None) -> str:
    if contact is None:
        raise ValueError("an id cannot be blank")
    return contact


ContactId = Annotated[Id, AfterValidator(_not_blank)]  # a contact's id in a path
ErasureId = Annotated[str, Path(alias="id", min_length=1, max_length=80, description="The erasure's id")]


@router.patch("/contacts/{contact:path}", responses=problems("not-found"))
async def change_contact(
    contact: ContactId,
    changes: Annotated[dict[str, Any], Body(examples=[{"language": "fr", "timezone": "Europe/Paris"}])],
    request: Request,
    use: Use,
    caller: Reporting,
) -> ChangeView:
    """Report changed contact fields to all journeys of the contact. Custom fields can be changed one by one."""
    reached = await use.events.change(caller, contact, changes)
    keep_answer_if(request, reached.has_effect)
    return reached


@router.get("/contacts/{contact:path}/why", responses=problems("not-found"))
async def explain_contact(
    contact: Annotated[str, Path(max_length=300, description="The contact's id")],
    use: Use,
    caller: Reading,
    scenario: Annotated[
        str | None,
        Query(max_length=100, description="Only entries to this scenario; required with a key for some scenarios"),
    ] = None,
    step: Annotated[
        str | None, Query(max_length=200, description="Answer whether the contact got this message, and why")
    ] = None,
    since: Annotated[Moment | None, Query(description="Only entries then or later")] = None,
    limit: Annotated[int, Query(ge=1, le=250, description="Maximum number of entries, the newest")] = 20,
    cursor: Cursor = None,
) -> WhyView:
    """Explain why a contact did, or did not, get something: its entries, and what happened since.

    `next` leads to older entries. A `step` is looked for among the entries of the page.
    """
    return await use.journeys.why(caller, contact, scenario, step=step, since=since, limit=limit, cursor=cursor)


@router.delete(
    "/contacts/{contact:path}",
    status_code=202,
    responses={
        **problems("not-found"),
        202: {"headers": {"Location": {"description": "The erasure", "schema": {"type": "string"}}}},
        200: {"model": ErasureView, "description": "A dry run: what would be erased"},
    },
)
async def erase_contact(
    contact: ContactId,
    use: Use,
    caller: Erasing,
    response: Response,
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500), Query(description="For the report.")],
    dry_run: Annotated[bool, Query(description="Only report what would be erased.")] = False,
) -> ErasureView:
    """Start the erasure of a contact: refuse its entries, end its journeys, make its stored data unreadable.

    A worker finishes the erasure within some minutes. It cannot be undone. A request during an erasure returns that
    erasure; a later one starts another. The key must be for all scenarios.
    """
    begun = await use.erasures.erase(caller, contact, operator=caller.name, reason=reason, dry_run=dry_run)
    if dry_run:
        response.status_code = 200
    else:
        response.headers["location"] = f"/v1/erasures/{begun.id}"
    return begun


@router.get("/erasures")
async def list_erasures(
    use: Use,
    caller: Erasing,
    page: Paging,
    is_open: Annotated[bool, Query(alias="open", description="Only those that are not finished")] = False,
) -> PageView[ErasureView]:
    """List erasures, newest first. The key must be for all scenarios."""
    return await use.erasures.list(caller, page, is_open=is_open)


@router.get("/erasures/{id}", responses=problems("not-found"))
async def show_erasure(erasure: ErasureId, use: Use, caller: Erasing) -> ErasureView:
    """Return an erasure: its progress, and its report once it is finished. The key must be for all scenarios."""
    return await use.erasures.show(caller, erasure)
