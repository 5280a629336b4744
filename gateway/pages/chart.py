"""Charts of people or attempts by day or hour, with the numbers for their tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from markupsafe import Markup

from gateway.map.map import escaped
from gateway.service.stats import PeopleCount, SendingCount

_HEIGHT: Final = 100.0
_WIDTH: Final = 10.0
_BAR: Final = 7.0
_LEAST: Final = 3.0  # height of a number that would be too small to see


def sums(counts: Mapping[date, Mapping[str, int]]) -> dict[str, int]:
    words = dict.fromkeys(word for day in counts.values() for word in day)
    return {word: sum(day.get(word, 0) for day in counts.values()) for word in words}


def said(counts: Mapping[str, int]) -> str:
    """Return numbers in words: ``1,890 passed, 12 skipped``."""
    return ", ".join(f"{number:,} {word}" for word, number in counts.items() if number) or "none"


def _day(number: int, day: date, counts: Mapping[str, int], highest: int) -> Iterator[str]:
    if not any(counts.values()):
        return
    yield f"<g><title>{day.isoformat()}: {escaped(said(counts))}</title>"
    bottom = _HEIGHT
    for word, count in counts.items():
        if count:
            height = max(_HEIGHT * count / highest, _LEAST)
            bottom -= height
            x = number * _WIDTH + (_WIDTH - _BAR) / 2
            yield f'<rect class="{word}" x="{x:.1f}" y="{bottom:.1f}" width="{_BAR:.1f}" height="{height:.1f}"/>'
    yield "</g>"


@dataclass(frozen=True)
class Chart:
    """A chart."""

    name: str
    counts: Mapping[date, Mapping[str, int]]  # numbers by word, of days or hours that have any
    svg: Markup

    @property
    def sums(self) -> dict[str, int]:
        return sums(self.counts)

    @property
    def headings(self) -> list[str]:
        return [f"#{word.capitalize()}" for word in self.sums]


@dataclass(frozen=True)
class ChartGroup:
    """Charts of one kind of number, which have one scale."""

    charts: Sequence[Chart]
    highest: int  # the number at the top
    words: tuple[str, ...]

    @classmethod
    def draw(
        cls,
        title: str,
        kind: type[PeopleCount] | type[SendingCount],
        outcomes: Mapping[str, Mapping[date, Mapping[str, int]]],
        times: Sequence[date],
    ) -> ChartGroup:
        """Count and draw numbers by outcome, by the name of their chart, and by day or hour.

        The title has a place for the name of a chart.
        """
        counts = {
            name: {at: kind.of(one)._asdict() for at, one in some.items() if any(kind.of(one))}
            for name, some in outcomes.items()
        }
        highest = max((sum(one.values()) for some in counts.values() for one in some.values()), default=0)
        charts = [Chart(name, some, _svg(title.format(name), times, some, highest)) for name, some in counts.items()]
        return cls(charts, highest, kind._fields)


def _svg(title: str, days: Sequence[date], counts: Mapping[date, Mapping[str, int]], highest: int) -> Markup:
    """Write days from left to right, with numbers by word, which is also a bar's class, from the bottom up."""
    label, width = escaped(f"{title}: {said(sums(counts))}"), f"{len(days) * _WIDTH:.0f}"
    lines = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {width} {_HEIGHT:.0f}" '
        f'preserveAspectRatio="none" role="img" aria-label="{label}">',
        f"<title>{label}</title>",
        *(line for number, day in enumerate(days) for line in _day(number, day, counts.get(day, {}), highest)),
        f'<path class="axis" d="M0 {_HEIGHT:.0f}H{width}"/>',
        "</svg>",
    )
    return Markup("\n".join(lines))  # noqa: S704 - it escapes
