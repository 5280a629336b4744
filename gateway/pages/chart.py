"""The attempts at a destination by hour, as a chart and as the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from markupsafe import Markup

from gateway.map.chart import bars, sums
from gateway.service.stats import SendingCount

HOURS: Final = 25
"""A day, and the current hour."""


@dataclass(frozen=True)
class HourlyAttempts:
    """Attempts by hour.

    Attributes:
        counts: Numbers by word, of hours with attempts.
        highest: Number of attempts in the busiest hour.
    """

    hours: Sequence[datetime]
    counts: Mapping[date, Mapping[str, int]]
    highest: int
    svg: Markup

    @classmethod
    def of(cls, name: str, outcomes: Mapping[datetime, Mapping[str, int]], since: datetime) -> HourlyAttempts:
        """Count and draw the attempts at a destination."""
        hours = [since + number * timedelta(hours=1) for number in range(HOURS)]
        counts: dict[date, dict[str, int]] = {hour: SendingCount.of(one)._asdict() for hour, one in outcomes.items()}
        highest = max((sum(one.values()) for one in counts.values()), default=0)
        svg = Markup(bars(f"Attempts at {name} by hour", hours, counts, highest))  # noqa: S704 - it escapes
        return cls(hours, counts, highest, svg)

    @property
    def sums(self) -> dict[str, int]:
        """Numbers of the whole day by word."""
        return sums(self.counts)

    @property
    def headings(self) -> list[str]:
        """The headings of the table."""
        return ["Hour (UTC)", *(f"#{word.capitalize()}" for word in SendingCount._fields)]
