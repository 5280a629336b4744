"""A request for a campaign, and its validation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from gateway.errors import BadInput, BadOperation
from workflows.campaign import FASTEST, SLOWEST

_NAME: Final = re.compile(r"(?=.{1,64}\Z)[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class CampaignRequest:
    """A campaign to be started.

    Attributes:
        scenario: A published scenario, or ``name@version``.
        audience: The file of contacts.
        encoding: The encoding of CSV, or None to detect it.
        rate: Maximum number of lines a second.
        starts_at: Time of the start, with its zone; None: immediately.
        accept: Start even if more lines are invalid than usual.
    """

    name: str
    scenario: str
    audience: Path
    operator: str
    rate: float
    encoding: str | None = None
    starts_at: datetime | None = None
    accept: bool = False

    def check(self) -> None:
        """Raise BadInput if a part of it is wrong, apart from the scenario and the file."""
        if not _NAME.fullmatch(self.name):
            message = "a campaign's name is lower-case words joined by '-', at most 64 letters"
            raise BadInput(f"'{self.name[:80]}' is not a campaign's name: {message}", at=["name"])
        check_rate(self.rate)
        if self.starts_at is not None and self.starts_at.tzinfo is None:
            raise BadInput("the start has no offset: write such as 2026-11-27T09:00+01:00", at=["at"])


def check_rate(rate: float | None) -> None:
    """Raise BadOperation unless a rate is one."""
    if rate is None or not SLOWEST <= rate <= FASTEST:
        raise BadOperation(f"a rate is {SLOWEST:g} to {FASTEST:g} lines a second", "rate")
