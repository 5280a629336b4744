"""``/v1/overview``: is everything well?"""

from __future__ import annotations

from fastapi import APIRouter

from gateway.api.authorization import Reading
from gateway.api.parameters import Use
from gateway.service.overview import OverviewView

router = APIRouter(tags=["overview"])


@router.get("/overview")
async def show_overview(use: Use, caller: Reading) -> OverviewView:
    """Return what needs a person: held journeys, failing destinations, missing workers, troubled campaigns.

    A key for some scenarios sees the part of these scenarios.
    """
    return await use.overview.show(caller)
