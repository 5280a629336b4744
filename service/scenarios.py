"""Use cases about published scenarios: list and show versions, close a scenario to new entries, and open it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final

from activities.content import Content, LoadedVersion, UnknownVersion
from authoring.errors import BadInput
from runtime.store import Closure, Store
from scenario.errors import ScenarioError
from scenario.model.scenario import document, load
from scenario.plan.plan import load_plan
from service.caller import TERMINAL, Caller
from service.concurrency import CoalescingCache
from service.errors import UnknownScenario
from service.view import PageRequest, PageView, View

TTL: Final = 5.0  # seconds for which `ScenarioService.latest` caches numbers of running journeys
_MOST_VERSIONS: Final = 250


class ClosureView(View):
    """The closure of a scenario to new entries."""

    at: datetime
    """Time of the closure."""
    by: str
    """The operator who closed it."""
    reason: str
    """The reason, which refused entries receive."""

    @classmethod
    def of(cls, closure: Closure | None) -> ClosureView | None:
        return closure and cls(at=closure.closed_at, by=closure.closed_by, reason=closure.reason)


class VersionView(View):
    """A published version."""

    scenario: str
    """The scenario's name."""
    version: int
    """The version's number."""
    newest: bool
    """True if new journeys take it, unless their entry names another."""
    published_at: datetime
    """Time of the publication."""
    published_by: str
    """The person or key that published it."""
    journeys: str
    """`pin` or `follow`: whether its journeys stay with it or move to newer versions."""
    under_way: int
    """Number of running journeys of this version."""
    closed: ClosureView | None
    """The closure of its scenario; null if the scenario is open."""


class StepDescription(View):
    """A step of a plan."""

    id: str
    """The step's id."""
    kind: str
    """The kind of step."""
    what: str
    """The step in plain words."""


class ScenarioView(View):
    """A version with its content, and the list of all versions."""

    version: VersionView
    """The version."""
    document: dict[str, Any]
    """The stored scenario: files inlined, defaults written out."""
    trigger: str
    """The kind of trigger."""
    events: list[str]
    """The events that steps and exit rules wait for."""
    steps: list[StepDescription]
    """The steps."""
    versions: list[VersionView]
    """The scenario's versions, the newest first; 250 at most."""


class ClosedView(View):
    """The result of closing or opening a scenario."""

    scenario: str
    """The scenario's name."""
    changed: bool
    """False if it was in this state already."""
    closed: ClosureView | None
    """The closure; null if the scenario is open."""


class ScenarioService:
    """Use cases about published scenarios. `content` has the versions that were opened last.

    All raise Forbidden if the caller may not use the scenario, and UnknownScenario if it, or a version, is missing.
    """

    def __init__(self, store: Store) -> None:
        self._store, self.content = store, Content(store)
        self._latest = CoalescingCache[None, list[VersionView]](lambda _: self.versions(TERMINAL), TTL, cost_factor=0.0)

    async def latest(self, caller: Caller) -> list[VersionView]:
        return [item for item in await self._latest.get(None) if caller.may_use(item.scenario)]

    async def opened(self, caller: Caller, name: str, version: int | None = None) -> LoadedVersion:
        """Return a version, by default the newest, with its plan. Raise BadInput if it is of a later release."""
        newest = await require_for(self._store, caller, name)
        try:
            return await _loaded(self.content, name, newest if version is None else version)
        except UnknownVersion:
            raise UnknownScenario(f"there is no version {version} of {name}: the newest is {newest}") from None

    async def names(self, caller: Caller) -> list[str]:
        return [one.scenario for one in await self._store.scenarios() if caller.may_use(one.scenario)]

    async def versions(self, caller: Caller, scenario: str | None = None) -> list[VersionView]:
        """Return published versions, the newest of each scenario first.

        Without a scenario: the newest version of each, and older ones with running journeys.
        """
        if scenario is not None:
            await require_for(self._store, caller, scenario)
        counts, closures, versions = await asyncio.gather(
            self._store.counts(), self._store.closures(), self._store.version_summaries(scenario)
        )
        found: list[VersionView] = []
        names: set[str] = set()
        for item in versions:
            newest, count = item.scenario not in names, counts.get((item.scenario, item.version), 0)
            names.add(item.scenario)
            if caller.may_use(item.scenario) and (scenario or newest or count):
                closed = ClosureView.of(closures.get(item.scenario))
                found.append(VersionView.from_record(item, newest=newest, under_way=count, closed=closed))
        return found

    async def list(self, caller: Caller, page: PageRequest, scenario: str | None = None) -> PageView[VersionView]:
        """Return a page of `versions`. Raise BadCursor if the cursor is not one of this list."""
        found = sorted(await self.versions(caller, scenario), key=_order)  # databases differ in their collation
        if (last := page.place(tuple[str, int])) is not None:
            found = [item for item in found if _order(item) > last]
        items, following = page.split(found, _order)
        return PageView(items=[*items], next=following)

    async def show(self, caller: Caller, name: str, version: int | None = None) -> ScenarioView:
        listed = await self.versions(caller, name)
        shown = next((item for item in listed if version in (None, item.version)), None)
        stored = shown and await self._store.version(name, shown.version)
        if shown is None or stored is None:
            raise UnknownScenario(f"there is no version {version} of {name}: its newest is {name}@{listed[0].version}")
        with _readable(name, shown.version):
            plan, scenario = load_plan(stored.plan), load(stored.document)
        return ScenarioView(
            version=shown,
            document=document(scenario),
            trigger=str(stored.document["trigger"]),
            events=sorted(plan.events),
            steps=[StepDescription(id=step, kind=row.kind, what=row.describe()) for step, row in plan.steps.items()],
            versions=listed[:_MOST_VERSIONS],
        )

    async def close(self, caller: Caller, name: str, *, operator: str, reason: str = "") -> ClosedView:
        """Close a scenario to new entries immediately. Running journeys continue. An earlier closure is kept."""
        await require_for(self._store, caller, name)
        changed = await self._store.close_scenario(Closure(name, datetime.now(UTC), operator, reason))
        return await self._closed(name, changed=changed)

    async def open(self, caller: Caller, name: str) -> ClosedView:
        await require_for(self._store, caller, name)
        return await self._closed(name, changed=await self._store.open_scenario(name))

    async def _closed(self, name: str, *, changed: bool) -> ClosedView:
        return ClosedView(scenario=name, changed=changed, closed=ClosureView.of(await self._store.closure(name)))


async def require_for(store: Store, caller: Caller, scenario: str) -> int:
    """Return the number of a scenario's newest version, or raise Forbidden or UnknownScenario."""
    caller.check(scenario)
    newest = await store.newest(scenario)
    if newest is None:
        # Only a caller for all scenarios may learn the names of others.
        names = [item.scenario for item in await store.scenarios()] if caller.scenarios is None else []
        near = get_close_matches(scenario, names, 1)
        advice = f"did you mean '{near[0]}'?" if near else "list the published scenarios to find its name"
        raise UnknownScenario(f"there is no scenario '{scenario}': {advice}")
    return newest


async def load_version(content: Content, scenario: str, version: int, newest: int) -> LoadedVersion:
    """Return a version with its plan. Raise BadInput if it does not exist, or is of a later release."""
    try:
        return await _loaded(content, scenario, version)
    except UnknownVersion:
        raise BadInput(f"{scenario} has no version {version}: the newest is {newest}") from None


async def _loaded(content: Content, scenario: str, version: int) -> LoadedVersion:
    with _readable(scenario, version):
        opened = await content.open(scenario, version)
        _ = opened.table
        return opened


@contextmanager
def _readable(scenario: str, version: int) -> Generator[None]:
    """Raise BadInput if the document or the plan of a version is of a later release."""
    try:
        yield
    except (ScenarioError, ValueError):
        raise BadInput(f"{scenario}@{version} was published by a later release of this program: update it") from None


def _order(item: VersionView) -> tuple[str, int]:
    return item.scenario, -item.version
