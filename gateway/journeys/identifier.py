"""Checks ids before Temporal is asked: an id that no workflow can have is an unknown journey, not a fault."""

from __future__ import annotations

import re
from typing import Final

from gateway.errors import UnknownJourney

LONGEST: Final = 1000
"""Maximum bytes of a workflow id in Temporal."""
_UNUSED: Final = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_RUN_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


def check_identifier(journey: str, run_id: str | None = None) -> None:
    """Check that a workflow can have these ids.

    Raises:
        UnknownJourney: It cannot.
    """
    if not journey or len(journey) > LONGEST or _UNUSED.search(journey) or len(journey.encode()) > LONGEST:
        raise UnknownJourney("there is no journey of this id: list the journeys to find its id")
    if run_id is not None and not _RUN_ID.fullmatch(run_id):
        raise UnknownJourney(f"there is no such run of the journey '{journey}': leave the run out to see the newest")
