"""The page of a scenario's results: its splits, control group and goal, with their certainty."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.pages.page import Page, moment_in, refused, shows, version_in
from gateway.service.results import Comparison
from gateway.service.results_text import headline, remarks


async def _show(page: Page) -> Response:
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


ROUTES: Final = (shows("/scenarios/{name}/results", _show),)
