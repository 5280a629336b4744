"""The list of scenarios, and pages of one: its map, table, rules and versions; its results; its trends in charts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from markupsafe import Markup
from starlette.responses import Response
from temporalio.service import RPCError

from activities.content import LoadedVersion
from authoring.map.map import ScenarioMap, escaped
from authoring.map.outline import Overlay
from authoring.map.outline import since as changed_since
from gateway.api.problem import Problem
from gateway.pages.page import Page, moment_in, refused, shows, version_in
from gateway.pages.rendering import link
from scenario.model.scenario import Scenario
from scenario.plan.migration import difference
from scenario.policies.draw import percent
from scenario.source.findings import listed
from scenario.time import format_duration
from service.errors import UnknownScenario
from service.index import PATIENCE
from service.results import Comparison, headline, remarks
from service.stats import (
    DAYS,
    FAILED,
    PeopleCount,
    PopulationView,
    SendingCount,
    StatsView,
    StepStats,
    VersionStats,
    of_all_versions,
)

_AGAIN: Final = {
    "never": "once and never again",
    "when_finished": "again after the previous journey has ended",
    "always": "every time, also during an earlier journey",
}


async def _list(page: Page) -> Response:
    versions = await page.use.scenarios.latest(page.caller)
    newest, under_way = [item for item in versions if item.newest], Counter[str]()
    for item in versions:
        under_way[item.scenario] += item.under_way
    held, others = await _held(page)
    retrying = Counter[str]()
    for one in await page.use.destinations.backoffs(page.caller):
        retrying[one.scenario] += one.n
    return page.render(
        "scenarios.html", scenarios=newest, under_way=under_way, held=held, others=others, retrying=retrying
    )


async def _held(page: Page) -> tuple[Counter[str] | None, int]:
    """Return the number of held journeys of each scenario and of all others, or None if search fails."""
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            found = await page.use.held.groups(page.caller)
    except (RPCError, TimeoutError):
        return None, 0
    counts = Counter[str]()
    for group in found.groups:
        counts[group.at.scenario] += group.count
    return counts, found.others


async def _show(page: Page) -> Response:
    name, asked = page.request.path_params["name"], page.asked("compare")
    versions = await page.use.scenarios.versions(page.caller, name)
    version = await _opened(page, name, page.asked("version") or str(versions[0].version))
    earlier = await _opened(page, name, asked) if asked else None
    counted, numbers = await _count(page, name, version.version)
    people = {step.id: StepNumbers.of(step) for step in numbers.steps}
    changes = difference(earlier.scenario, version.scenario) if earlier else None

    def to_step(step: str) -> str:
        return link("/journeys", scenario=name, version=version.version, step=step)

    on_the_map = {step: one.on_the_map for step, one in people.items()}
    overlay = changed_since(changes, on_the_map, to_step) if changes else Overlay(on_the_map, link=to_step)
    drawn = ScenarioMap(version.table, f"{name}@{version.version}", version.scenario.trigger, overlay)
    return page.render(
        "scenario.html",
        name=name,
        published=version,
        scenario=version.scenario,
        rules=list(_rules(version.scenario)),
        versions=versions,
        compared=earlier,
        changes=changes,
        stats=counted,
        numbers=numbers,
        people=people,
        rows=drawn.rows,
        map=Markup(drawn.svg()),  # noqa: S704 - it escapes its values
    )


async def _opened(page: Page, name: str, number: str) -> LoadedVersion:
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise UnknownScenario(f"there is no version '{number}' of {name}")
    return await page.use.scenarios.opened(page.caller, name, int(number))


async def _count(page: Page, name: str, number: int) -> tuple[StatsView, VersionStats]:
    """Return the scenario's numbers and those of one version, which may need a separate query if it is old."""
    counted = await page.use.journeys.stats(page.caller, name)
    for one in counted.versions:
        if one.version == number:
            return counted, one
    return counted, (await page.use.journeys.stats(page.caller, name, number)).versions[0]


@dataclass(frozen=True)
class StepNumbers:
    """The numbers of a step. Those of people and those of attempts are never added."""

    now: PopulationView | None  # journeys at the step, or None if search fails
    lately: PeopleCount  # journeys that completed it within the last day
    in_all: int  # journeys that ever passed it
    attempts: SendingCount | None  # attempts to send within the last day, or None if the step sends nothing
    failed_as: str | None  # the common outcome of failed attempts, or None if they have several

    @classmethod
    def of(cls, step: StepStats) -> StepNumbers:
        """Add up a step's counts."""
        failed = [outcome for outcome in FAILED if (step.attempts or {}).get(outcome)]
        return cls(
            now=step.now,
            lately=PeopleCount.of(step.passed_lately),
            in_all=PeopleCount.of(step.passed).passed,
            attempts=None if step.attempts is None else SendingCount.of(step.attempts),
            failed_as=failed[0] if len(failed) == 1 else None,
        )

    @property
    def on_the_map(self) -> dict[str, int]:
        """The numbers of people by the names that the map uses."""
        now = self.now or PopulationView()
        at_step = {"waiting": now.waiting + now.paused, "retrying": now.retrying, "held": now.held}
        return {**at_step, **self.lately._asdict()}


def _rules(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Yield the subject and the text of each rule for entering and leaving, and of settings of the whole scenario."""
    entry = scenario.entry
    yield "Trigger", scenario.trigger
    yield "Admits", f"contacts if {entry.condition}" if entry.condition else "all contacts"
    per = f"for each {entry.key}" if entry.key else "for each contact"
    yield "How often", f"{per}, {_AGAIN.get(entry.again, entry.again)}"
    for rule in scenario.exit:
        yield "Exits on", rule.event + (f" if {rule.condition}" if rule.condition else "")
    if goal := scenario.goal:
        condition = f" if {goal.condition}" if goal.condition else ""
        value = f", worth {goal.value}" if goal.value else ""
        yield "Goal", f"{goal.event}{condition} within {format_duration(goal.within)}{value}"
    if scenario.control is not None:
        yield "Control", f"{percent(scenario.control)} % of admitted contacts get nothing, to measure the effect"
    if scenario.subscription:
        lists = [f"{channel}: {one.mailing_list or one.tracking}" for channel, one in scenario.subscription.items()]
        yield "Only subscribers of", listed(lists, "and")
    yield "Purpose", scenario.purpose
    if scenario.quiet_hours:
        yield "Quiet hours", scenario.quiet_hours.words
    yield "Default time zone", scenario.timezone


_RANGES: Final = (7, 30, 90)


async def _results(page: Page) -> Response:
    name = page.request.path_params["name"]
    versions = [one.version for one in await page.use.scenarios.versions(page.caller, name)]
    asked = {"version": page.asked("version"), "since": page.asked("since")}
    try:
        version, since = version_in(page.given), moment_in(page.given, "since")
    except Problem as error:
        return refused(page, error).render("results.html", name=name, versions=versions, asked=asked, found=None)
    found = await page.use.journeys.results(page.caller, name, version, since)
    goal, *counts = headline(found)
    return page.render(
        "results.html",
        name=name,
        versions=versions,
        asked=asked,
        found=found,
        goal=goal,
        counts=counts,
        remarks=list(remarks(found)),
        shown=[(one, _scale(one)) for one in found.comparisons],
        has_value=found.goal is not None and found.goal.value is not None,
    )


def _scale(found: Comparison) -> float:
    """Return the rate at the right end of the chart: a round number above all intervals."""
    highest = max((arm.interval[1] for arm in found.arms if arm.entered), default=1)
    steps = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)
    return next(step for step in steps if highest <= step)


async def _trends(page: Page) -> Response:
    name, given = page.request.path_params["name"], page.request.query_params
    versions = await page.use.scenarios.versions(page.caller, name)
    version = version_in(given)
    asked = page.asked("days") or str(DAYS)
    days = next((one for one in _RANGES if str(one) == asked), DAYS)
    found = await page.use.journeys.trends(page.caller, name, version, days)
    steps = of_all_versions(found)
    dates = [found.since + timedelta(days=number) for number in range(days)]
    people = {step.id: {one.day: one.outcomes for one in step.people} for step in steps}
    sending = {step.id: {one.day: one.outcomes for one in step.attempts} for step in steps if step.attempts is not None}
    return page.render(
        "trends.html",
        name=name,
        versions=[one.version for one in versions],
        ranges={one: f"{one} days" for one in _RANGES},
        asked={"days": days, "version": version},
        found=found,
        what={step.id: step.what for step in steps},
        people=ChartGroup.draw("People who completed {} by day", PeopleCount, people, dates),
        attempts=ChartGroup.draw("Attempts to send {} by day", SendingCount, sending, dates),
    )


# ---- charts of people or attempts by day or hour, with the numbers for their tables

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


ROUTES: Final = (
    shows("/scenarios/{name}/results", _results),
    shows("/scenarios/{name}/trends", _trends),
    shows("/scenarios", _list),
    shows("/scenarios/{name}", _show),
)
