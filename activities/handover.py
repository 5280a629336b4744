"""The journeys of campaigns: what their delivery ids are made from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

_CAMPAIGNS: Final = UUID("0c9fae0c-55cf-4b0a-8b35-7ad4f5c1a1c5")


def campaign_root(workflow_id: str, created_at: datetime) -> str:
    """Return the root of a campaign's journey, from which its delivery ids are made, with and without a workflow.

    Args:
        created_at: The campaign's, which tells it from a later one of its name.
    """
    return str(uuid5(_CAMPAIGNS, f"{created_at.astimezone(UTC).isoformat()}/{workflow_id}"))
