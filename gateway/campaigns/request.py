"""A request for a campaign, and its validation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final, Literal

from gateway.errors import BadInput, BadOperation
from workflows.campaign import FASTEST, SLOWEST

_NAME: Final = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)

_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)
_LAST_ZONE: Final = timezone(timedelta(hours=-12))
"""The zone in which each hour comes last."""


@dataclass(frozen=True, kw_only=True)
class CampaignRequest:
    """A campaign to be started."""

    name: str
    scenario: str
    """A published scenario, or ``name@version``."""
    audience: str
    """The name of an uploaded file of contacts."""
    operator: str
    rate: float
    """Maximum number of lines a second."""
    digest: str | None = None
    """The SHA-256 that the file must have, in hex; None: any."""
    encoding: str | None = None
    """The encoding of CSV, or None to detect it."""
    starts_at: datetime | None = None
    """Time of the start, with its zone; None: immediately."""
    local_start: datetime | None = None
    """Date and time, without a zone, at which it starts for each contact by the contact's own clock."""
    accept: bool = False
    """Start even if more lines are invalid than usual."""
    ask: bool = False
    """Wait with the start until it is confirmed."""
    gear: Literal["enter"] | None = None
    """``enter`` to start a journey for each line; None: the fastest gear for the scenario."""

    def check(self, now: datetime) -> None:
        """Raise BadInput if a part of it is wrong, apart from the scenario and the file."""
        if not _NAME.fullmatch(self.name):
            message = "a campaign's name is lower-case words joined by '-', at most 64 letters"
            raise BadInput(f"'{self.name[:80]}' is not a campaign's name: {message}", at=["name"])
        check_rate(self.rate)
        if self.starts_at is not None and self.starts_at.tzinfo is None:
            raise BadInput("the start has no offset: write such as 2026-11-27T09:00+01:00", at=["at"])
        if self.local_start is not None and self.local_start.tzinfo is not None:
            raise BadInput("a local start has no offset: write such as 2026-11-27T09:00", at=["at"])
        latest = self.local_start and self.local_start.replace(tzinfo=_LAST_ZONE)
        if (self.starts_at or latest or now) < now:
            raise BadInput("the start is in the past: leave it out to start now", at=["at"])
        if (self.starts_at or latest or now) > _LATEST:
            raise BadInput("the start is too far away", at=["at"])


def check_rate(rate: float | None) -> None:
    """Raise BadOperation unless a rate is one."""
    if rate is None or not SLOWEST <= rate <= FASTEST:
        raise BadOperation(f"a rate is {SLOWEST:g} to {FASTEST:g} lines a second", "rate")
