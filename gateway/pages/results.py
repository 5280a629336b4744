"""The pages of a scenario's numbers: its results (splits, control group, goal), and its trends by day."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.pages.chart import ChartGroup
from gateway.pages.page import Page, moment_in, refused, shows, version_in
from gateway.service.results import Comparison, headline, remarks
from gateway.service.stats import PeopleCount, SendingCount
from gateway.service.trends import DAYS, of_all_versions

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


ROUTES: Final = (shows("/scenarios/{name}/results", _results), shows("/scenarios/{name}/trends", _trends))
