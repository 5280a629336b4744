"""``DELETE /v1/contacts/{contact}``: erases a contact."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, StringConstraints

from gateway.api.app_state import Client
from gateway.api.authentication import Erasing
from gateway.api.events import PathId
from gateway.api.problem import Problem

router = APIRouter()


class Rows(BaseModel):
    """Rows of the store.

    Attributes:
        entries: Journeys, running or over, which lead to nobody now.
        deliveries: Attempts, the same.
        claims: Places under caps, deleted.
        operation_items: Journeys that operations went to, which lead to nobody now.
        operations: Operations that were asked for by the contact's id, which is not there any more.
    """

    entries: int
    deliveries: int
    claims: int
    operation_items: int
    operations: int


class Erased(BaseModel):
    """The report of an erasure, to be filed. It names nobody.

    Attributes:
        contact: An HMAC of the contact's id; empty for a dry run.
        at: When.
        operator: Who.
        reason: Why.
        dry_run: Whether nothing was done.
        encrypted: Whether copies of the databases that were made before are as good as the keys alone.
        before: Whether it had been erased before.
        ended: Journeys under way that were ended.
        histories: Runs whose histories are deleted, within some minutes.
        rows: Rows of the store.
        kept: What is left, and why.
    """

    contact: str
    at: str
    operator: str
    reason: str
    dry_run: bool
    encrypted: bool
    before: bool
    ended: int
    histories: int
    rows: Rows
    kept: list[str]


@router.delete("/contacts/{contact:path}", operation_id="eraseContact", tags=["contacts"])
async def erase_contact(
    contact: PathId,
    client: Client,
    caller: Erasing,
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500), Query(description="For the report.")],
    dry_run: Annotated[bool, Query(description="Only tell what there is.")] = False,
) -> Erased:
    """Erases a contact, for good: its journeys end, what is kept of it cannot be read, nothing more is taken for it.

    Repeatable. The key must be for all scenarios.
    """
    if caller.key.scenarios is not None:
        raise Problem("forbidden", "this key is for some scenarios: erasing needs one that is for all")
    done = await client.erase(contact, operator=caller.name, reason=reason, dry_run=dry_run)
    return Erased.model_validate(done.as_json())
