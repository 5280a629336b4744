"""A chart of numbers by day as SVG: stacked bars, which fill the width they are given. Pages style it by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final

from gateway.map.svg import escaped

_HEIGHT: Final = 100.0
_WIDTH: Final = 10.0
_BAR: Final = 7.0
_LEAST: Final = 3.0
"""Height of a number that would be too small to see."""


def bars(title: str, days: Sequence[date], counts: Mapping[date, Mapping[str, int]], highest: int) -> str:
    """Write a chart.

    Args:
        title: Its text alternative, to which the sums are added.
        days: Days from left to right.
        counts: Numbers of a day by word, from the bottom up. The word is also the bar's class.
        highest: The number at the top. Charts that share it can be compared.
    """
    label = escaped(f"{title}: {said(sums(counts))}")
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {len(days) * _WIDTH:.0f} '
            f'{_HEIGHT:.0f}" preserveAspectRatio="none" role="img" aria-label="{label}">',
            f"<title>{label}</title>",
            *(line for number, day in enumerate(days) for line in _day(number, day, counts.get(day, {}), highest)),
            f'<path class="axis" d="M0 {_HEIGHT:.0f}H{len(days) * _WIDTH:.0f}"/>',
            "</svg>",
        )
    )


def sums(counts: Mapping[date, Mapping[str, int]]) -> dict[str, int]:
    """Return the sum of all days by word."""
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
