"""The page of a scenario's trends: people and attempts by day for each step, as charts and as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, NamedTuple

from markupsafe import Markup
from starlette.responses import Response

from gateway.map.chart import bars, sums
from gateway.pages.page import Page, shows, version_in
from gateway.service.stats import PeopleCount, SendingCount
from gateway.service.trends import DAYS, DayView, StepTrend, of_all_versions

_RANGES: Final = (7, 30, 90)

Counts = Mapping[date, Mapping[str, int]]


@dataclass(frozen=True)
class Chart:
    """The numbers of a step by day, and their chart."""

    step: StepTrend
    counts: Counts
    svg: Markup

    @property
    def sums(self) -> dict[str, int]:
        return sums(self.counts)


class Group(NamedTuple):
    """Charts of one kind of number, which have one scale."""

    charts: list[Chart]
    highest: int
    words: tuple[str, ...]

    @property
    def headings(self) -> list[str]:
        return ["Day (UTC)", *(f"#{word.capitalize()}" for word in self.words)]


async def _show(page: Page) -> Response:
    name, given = page.request.path_params["name"], page.request.query_params
    versions = await page.use.scenarios.versions(page.caller, name)
    version = version_in(given)
    asked = page.asked("days") or str(DAYS)
    days = next((one for one in _RANGES if str(one) == asked), DAYS)
    found = await page.use.journeys.trends(page.caller, name, version, days)
    steps = of_all_versions(found)
    dates = [found.since + timedelta(days=number) for number in range(days)]
    people = [(step, _counted(step.people, PeopleCount)) for step in steps]
    sending = [(step, _counted(step.attempts, SendingCount)) for step in steps if step.attempts is not None]
    return page.render(
        "trends.html",
        name=name,
        versions=[one.version for one in versions],
        ranges=_RANGES,
        asked={"days": days, "version": version},
        found=found,
        groups={
            "people": _group("People who completed", people, dates, PeopleCount._fields),
            "attempts": _group("Attempts to send", sending, dates, SendingCount._fields),
        },
    )


def _counted(days: Sequence[DayView], kind: type[PeopleCount] | type[SendingCount]) -> Counts:
    counts = {one.day: kind.of(one.outcomes)._asdict() for one in days}
    return {day: numbers for day, numbers in counts.items() if any(numbers.values())}


def _group(
    title: str, steps: Sequence[tuple[StepTrend, Counts]], dates: Sequence[date], words: tuple[str, ...]
) -> Group:
    highest = max((sum(day.values()) for _, counts in steps for day in counts.values()), default=0)
    charts = [
        Chart(step, counts, Markup(bars(f"{title} {step.id} by day", dates, counts, highest)))  # noqa: S704 - escaped
        for step, counts in steps
    ]
    return Group(charts, highest, words)


ROUTES: Final = (shows("/scenarios/{name}/trends", _show),)
