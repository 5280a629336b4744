"""The chart of attempts by hour, as SVG. Its classes have colours in `pages.css`; a table says the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from markupsafe import Markup

SERIES: Final[Mapping[str, tuple[str, ...]]] = {
    "delivered": ("delivered",),
    "retried": ("retry",),
    "failed": ("failed", "unknown"),
    "not sent": ("skipped", "cancelled", "batched"),
}
"""Outcomes of attempts, by what they are drawn as, from the bottom."""
_WIDTH, _HEIGHT, _STEP, _BAR = 750, 150, 30, 22
_HOUR: Final = timedelta(hours=1)
_LABELLED: Final = 6  # hours


class HourRow(NamedTuple):
    """The attempts of an hour."""

    hour: datetime
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Number of attempts."""
        return sum(self.counts.values())


def rows_of(hours: Mapping[datetime, Mapping[str, int]], since: datetime) -> Sequence[HourRow]:
    """Return the attempts of each of 25 hours: a day, and the current one."""
    found: list[HourRow] = []
    for number in range(_WIDTH // _STEP):
        hour = since + number * _HOUR
        counts = hours.get(hour, {})
        found.append(HourRow(hour, {name: sum(counts.get(one, 0) for one in of) for name, of in SERIES.items()}))
    return found


def bars(rows: Sequence[HourRow]) -> Markup:
    """Draw stacked bars. The label names the totals."""
    totals = {name: sum(row.counts[name] for row in rows) for name in SERIES}
    label = ", ".join(f"{n:,} {name}" for name, n in totals.items() if n) or "none"
    highest = max((row.total for row in rows), default=0) or 1
    drawn = "".join(piece for number, row in enumerate(rows) for piece in _bar(number * _STEP, row, highest))
    axis = f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{_HEIGHT}.5" y2="{_HEIGHT}.5"/>'
    svg = (
        f'<svg class="bars" viewBox="0 -28 {_WIDTH} {_HEIGHT + 62}" preserveAspectRatio="xMinYMid" role="img" '
        f'aria-label="Attempts by hour: {label}; at most {highest:,} an hour">'
        f'<text x="0" y="-4">{highest:,}</text>{axis}{drawn}</svg>'
    )
    return Markup(svg)  # noqa: S704 - numbers and names of ours


def _bar(x: int, row: HourRow, highest: int) -> Iterator[str]:
    said = ", ".join(f"{n:,} {name}" for name, n in row.counts.items() if n)
    yield f"<g><title>{row.hour:%H:%M} UTC: {said or 'none'}</title>"
    top = float(_HEIGHT)
    for name, n in row.counts.items():
        if n:
            height = max(n / highest * (_HEIGHT - 2), 1.5)  # so that a single failure is seen
            top -= height
            tone = name.replace(" ", "-")
            yield f'<rect class="{tone}" x="{x + 4}" y="{top:.1f}" width="{_BAR}" height="{height:.1f}"/>'
    yield "</g>"
    if row.hour.hour % _LABELLED == 0:
        end = ' text-anchor="end"' if x > _WIDTH - 3 * _STEP else ""
        yield f'<text x="{x + (_BAR if end else 4)}" y="{_HEIGHT + 24}"{end}>{row.hour:%H:%M}</text>'
