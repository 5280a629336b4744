"""The page of a scenario: its map with numbers, the same as a table, its rules and its versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from starlette.responses import Response

from gateway.api.problem import Problem
from gateway.map.map import ScenarioMap
from gateway.map.overlay import Overlay
from gateway.map.overlay import since as changed_since
from gateway.pages.links import link
from gateway.pages.page import Page, shows
from gateway.pages.rules import rules
from gateway.pages.shelf import Opened
from gateway.stats.stats import StatsView, StepPopulation, StepStats, VersionStats
from scenario.plan.difference import Difference, difference

_FAILED: Final = ("failed", "unknown")
_NOT_PASSED: Final = (*_FAILED, "skipped", "left")


@dataclass(frozen=True)
class People:
    """The journeys at a step, in numbers.

    Attributes:
        now: Journeys at the step; None if not known.
        passed: Journeys that completed it within the last day.
        failed: Deliveries that failed, or may have failed, within the last day.
        failed_as: Their common outcome; None if they have several.
        sends: Whether deliveries are counted instead of journeys.
        skipped: Deliveries not sent within the last day, and steps skipped by an operator.
        in_all: Journeys that completed the step by their end, ever.
        again: Deliveries that wait for their next attempt.
    """

    now: StepPopulation | None
    passed: int
    failed: int
    failed_as: str | None
    sends: bool
    skipped: int
    in_all: int
    again: int

    @property
    def on_the_map(self) -> dict[str, int]:
        """The numbers by the names that the map uses."""
        now = self.now or StepPopulation()
        counted = {"passed": self.passed, "failed": self.failed, "skipped": self.skipped}
        return {"waiting": now.waiting + now.paused, "held": now.held, **counted}


async def _show(page: Page) -> Response:
    name = page.request.path_params["name"]
    page.caller.check(name)
    store = page.client.store
    versions = await store.listed(name)
    if not versions:
        raise Problem("not-found", f"no scenario '{name}' is published")
    version = await _version(page, name, page.asked("version") or str(versions[0].version))
    earlier = await _version(page, name, asked) if (asked := page.asked("compare")) else None
    changes = difference(earlier.scenario, version.scenario) if earlier else None
    counted, numbers = await _count(page, name, version.published.version)
    people = {step.id: _people(step) for step in numbers.steps}
    drawn = _map(version, people, changes)
    return page.render(
        "scenario.html",
        name=name,
        published=version.published,
        scenario=version.scenario,
        rules=list(rules(version.scenario)),
        versions=versions,
        under_way={one.version: one.under_way for one in counted.versions},
        closure=await store.closure(name),
        compared=earlier.published if earlier else None,
        changes=changes,
        stats=counted,
        numbers=numbers,
        people=people,
        rows=drawn.rows,
        map=Markup(drawn.svg()),  # noqa: S704 - it escapes what it is given
    )


async def _version(page: Page, name: str, number: str) -> Opened:
    found = None
    if number.isascii() and number.isdigit() and len(number) < 10:
        found = await page.shelf.open(name, int(number))
    if found is None:
        raise Problem("not-found", f"there is no version '{number}' of {name}")
    return found


async def _count(page: Page, name: str, number: int) -> tuple[StatsView, VersionStats]:
    """Return the scenario's numbers and those of one version, which may need a separate query if it is old."""
    counted = await page.client.stats(name)
    for one in counted.versions:
        if one.version == number:
            return counted, one
    return counted, (await page.client.stats(name, number)).versions[0]


def _people(step: StepStats) -> People:
    """Return the numbers of a step. Attempts of sending steps count immediately, other steps when journeys end."""
    lately = step.passed_lately if step.attempts is None else step.attempts
    passed = sum(n for outcome, n in lately.items() if outcome not in (*_NOT_PASSED, "retry", "cancelled"))
    return People(
        now=step.now,
        passed=passed,
        failed=sum(lately.get(outcome, 0) for outcome in _FAILED),
        failed_as=None if all(lately.get(outcome) for outcome in _FAILED) else next(filter(lately.get, _FAILED), None),
        sends=step.attempts is not None,
        skipped=lately.get("skipped", 0),
        in_all=sum(n for outcome, n in step.passed.items() if outcome not in _NOT_PASSED),
        again=step.trying_again,
    )


def _map(version: Opened, people: Mapping[str, People], changes: Difference | None) -> ScenarioMap:
    numbers = {step: one.on_the_map for step, one in people.items()}
    published = version.published

    def to_step(step: str) -> str:
        return link("/journeys", scenario=published.scenario, version=published.version, step=step)

    overlay = changed_since(changes, numbers, to_step) if changes else Overlay(numbers, link=to_step)
    return ScenarioMap(version.plan, version.title, version.scenario.trigger, overlay)


ROUTES: Final = (shows("/scenarios/{name}", _show),)
