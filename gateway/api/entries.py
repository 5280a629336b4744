"""``/v1/entries``: lets contacts in."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from gateway.api.app_state import Client
from gateway.api.authentication import Entering
from gateway.api.problem import problems

router = APIRouter(tags=["entries"])


class Accepted(BaseModel):
    """A journey was started. Whether the contact is admitted, a worker decides.

    Attributes:
        journey: Its id.
        run: The id of its first run.
    """

    journey: str
    run: str


@router.post("/entries", status_code=202, responses=problems("conflict"))
async def enter(entry: dict[str, Any], client: Client, caller: Entering) -> Accepted:
    """Lets a contact into a scenario."""
    caller.check(str(entry.get("scenario", "")).partition("@")[0])
    entered = await client.enter(entry, settle=0)
    return Accepted(journey=entered.id, run=entered.run_id)
