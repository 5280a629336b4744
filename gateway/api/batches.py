"""Routes of batch calls: their state, and the outcome of each contact."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from gateway.api.authorization import Reading
from gateway.api.parameters import Paging, Use
from gateway.api.problem import problems
from gateway.service.batches import BatchItemView, BatchView
from gateway.service.view import PageView
from scenario.words import ItemOutcome

router = APIRouter(tags=["batch calls"])
Id = Annotated[str, Path(alias="id", min_length=1, max_length=80, description="The batch's id")]


@router.get("/batches")
async def list_batches(use: Use, caller: Reading, page: Paging) -> PageView[BatchView]:
    """List batch calls, the newest first."""
    return await use.batches.list(caller, page)


@router.get("/batches/{id}", responses=problems("not-found"))
async def show_batch(batch: Id, use: Use, caller: Reading) -> BatchView:
    """Return a batch call."""
    return await use.batches.show(caller, batch)


@router.get("/batches/{id}/items", responses=problems("not-found"))
async def list_batch_items(
    batch: Id,
    use: Use,
    caller: Reading,
    page: Paging,
    outcome: Annotated[ItemOutcome | None, Query(description="Only those with this outcome")] = None,
) -> PageView[BatchItemView]:
    """List the contacts of a batch call in their order, with their outcomes."""
    return await use.batches.items(caller, batch, page, outcome)
