"""Charts of people or attempts by day or hour, with the numbers for their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from markupsafe import Markup

from gateway.map.chart import bars, sums
from gateway.service.stats import PeopleCount, SendingCount


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes:
        counts: Numbers by word, of days or hours that have any.
    """

    name: str
    counts: Mapping[date, Mapping[str, int]]
    svg: Markup

    @property
    def sums(self) -> dict[str, int]:
        """Numbers of the whole period by word."""
        return sums(self.counts)

    @property
    def headings(self) -> list[str]:
        """Headings of the numbers in a table."""
        return [f"#{word.capitalize()}" for word in self.sums]


@dataclass(frozen=True)
class ChartGroup:
    """Charts of one kind of number, which have one scale.

    Attributes:
        highest: The number at the top.
    """

    charts: Sequence[Chart]
    highest: int
    words: tuple[str, ...]

    @classmethod
    def draw(
        cls,
        title: str,
        kind: type[PeopleCount] | type[SendingCount],
        outcomes: Mapping[str, Mapping[date, Mapping[str, int]]],
        times: Sequence[date],
    ) -> ChartGroup:
        """Count and draw.

        Args:
            title: Text alternative of a chart, with a place for its name.
            outcomes: Numbers by outcome, by the name of their chart, and by day or hour.
            times: Days or hours from left to right.
        """
        counts = {
            name: {at: kind.of(one)._asdict() for at, one in some.items() if any(kind.of(one))}
            for name, some in outcomes.items()
        }
        highest = max((sum(one.values()) for some in counts.values() for one in some.values()), default=0)
        charts = [
            Chart(name, some, Markup(bars(title.format(name), times, some, highest)))  # noqa: S704 - it escapes
            for name, some in counts.items()
        ]
        return cls(charts, highest, kind._fields)
