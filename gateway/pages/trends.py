"""The page of a scenario's trends: people and attempts by day for each step, as charts and as tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from starlette.responses import Response

from gateway.pages.chart import ChartGroup
from gateway.pages.page import Page, shows, version_in
from gateway.service.stats import PeopleCount, SendingCount
from gateway.service.trends import DAYS, of_all_versions

_RANGES: Final = (7, 30, 90)


async def _show(page: Page) -> Response:
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


ROUTES: Final = (shows("/scenarios/{name}/trends", _show),)
