"""Forecasts of migrations: how many journeys stand at each step, and whether they fit into another version.

Temporal's search lags by some moments, so this is a forecast. Each journey itself accepts or refuses its migration.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import Field, ValidationError
from temporalio.client import Client

from authoring.errors import BadInput
from runtime.store import Store, StoredVersion
from scenario.errors import ScenarioError
from scenario.model.scenario import load
from scenario.plan.migration import VersionDifference, difference, fate
from scenario.plan.plan import Plan, load_plan
from scenario.source.findings import near
from scenario.words import JourneyState
from service.index import EVERY, JourneyFilter
from service.listing import JourneyLists, JourneySummary, listed
from service.operations.request import JourneyTarget
from service.view import View

Version = int | Literal["newest"]  # the number of a scenario's version, or ``newest``

_DOING: Final = {
    JourneyState.WAITING: ("waits at", "wait at"),
    JourneyState.RETRYING: ("is retrying at", "are retrying at"),
    JourneyState.HELD: ("is held at", "are held at"),
    JourneyState.PAUSED: ("is paused at", "are paused at"),
}
_AT_STEP: Final = ("is at", "are at")
_BETWEEN: Final = ("is between steps", "are between steps")
_DECIDED_LATER: Final = "each journey decides"
_NAMED: Final = 20  # steps in a sentence


class StepPopulation(View):
    """Journeys of one version that are at one step in one state."""

    version: int
    """The version's number."""
    step: str | None
    """The step's id; null if it is unknown."""
    state: str
    """`waiting`, `retrying`, `held`, `paused`, or `running` for those in a delivery or between steps."""
    journeys: int
    """Number of journeys."""
    fits: bool
    """True if they can be migrated, as far as the plans show."""
    becomes: str
    """The step in the target version: `which stays`, `which is gone: map it`."""
    ids: Annotated[tuple[str, ...], Field(exclude=True)] = ()
    """The journeys' ids."""

    def __str__(self) -> str:
        """Return such as ``412 wait at wait-2, which is gone: map it``."""
        doing = _BETWEEN if self.step is None else _DOING.get(JourneyState(self.state), _AT_STEP)
        return f"{self.journeys:,} {doing[self.journeys != 1]}{f' {self.step}' if self.step else ''}, {self.becomes}"


class MigrationForecast(View):
    """A forecast of a migration."""

    scenario: str
    """The scenario's name."""
    to: int
    """The number of the target version."""
    differences: dict[int, VersionDifference | None]
    """Differences to the target version, by the number of the current version; null if that version is unreadable."""
    standing: list[StepPopulation]
    """The journeys by version, step and state, those of later versions first, in the order of steps."""

    @property
    def fitting(self) -> list[str]:
        return [journey for one in self.standing if one.fits for journey in one.ids]

    @property
    def left_out(self) -> int:
        return sum(one.journeys for one in self.standing if not one.fits)

    def targets(self, step: str | None = None) -> list[JourneyTarget]:
        """Return the journeys that can be migrated, as targets of a batch; with `step`, only while they are at it."""
        return [JourneyTarget(journey, step) for journey in self.fitting]


class _Known(NamedTuple):
    published: StoredVersion
    plan: Plan


async def forecast(
    temporal: Client,
    store: Store,
    scenario: str,
    *,
    to: Version = "newest",
    version: int | None = None,
    step: str | None = None,
    state: str | None = None,
    names: Mapping[str, str] | None = None,
    limit: int = EVERY,
) -> MigrationForecast:
    """Return where journeys stand, and compare their versions with the target version. Raises as `check_migration`.

    Args:
        version: Only journeys of this version; None for all but the target.
        state: Only journeys in this state; see `StepPopulation.state`.
        names: New ids of steps by their old ones.

    Example::

        found = await client.forecast_migration("post-purchase", version=3)
        batch = client.batch(Operation.MIGRATE, operator="ann", reason="a better text", version=found.to)
        tally = await batch.run(found.targets())
    """
    names = names or {}
    target, known = await _versions(store, scenario, to, version, names)
    number = target.published.version
    lists = JourneyLists(temporal, store)
    found: list[JourneySummary] = []
    versions: dict[str, int] = {}
    async for entries in lists.admitted(JourneyFilter(scenario=scenario, version=version)):
        entries = [entry for entry in entries if entry.version != number]
        seen = await lists.index.states([entry.workflow_id for entry in entries])
        # A journey that search does not find was terminated, which the store does not know.
        items = [listed(entry, seen) for entry in entries if entry.workflow_id in seen]
        versions.update((entry.workflow_id, entry.version) for entry in entries)
        looked = await lists.with_deliveries(items, limit=len(items))
        found += [item for item in looked if step in (None, item.step) and state in (None, item.state)]
        if len(found) >= limit:
            break
    for one in {versions[item.id] for item in found} - known.keys():
        known[one] = await _version(store, scenario, one)
    if known:
        _require("in their versions", [*names, *([step] if step else [])], known.values())
    return MigrationForecast(
        scenario=scenario,
        to=number,
        differences={one: _difference(known[one], target) for one in sorted(known, reverse=True)},
        standing=_standing(found[:limit], versions, known, target, names),
    )


def _standing(
    found: Iterable[JourneySummary],
    versions: Mapping[str, int],
    known: Mapping[int, _Known],
    target: _Known,
    names: Mapping[str, str],
) -> list[StepPopulation]:
    places: dict[tuple[int, str | None, str], list[str]] = {}
    for item in found:
        number = versions[item.id]
        # Search may still have the step of an earlier version.
        step = item.step if item.step in known[number].plan.steps else None
        places.setdefault((number, step, item.state), []).append(item.id)
    standing: list[StepPopulation] = []
    for (number, step, state), journeys in places.items():
        fits, becomes = (True, _DECIDED_LATER) if step is None else fate(known[number].plan, target.plan, step, names)
        standing.append(
            StepPopulation(
                version=number,
                step=step,
                state=state,
                journeys=len(journeys),
                fits=fits,
                becomes=becomes,
                ids=tuple(journeys),
            )
        )
    order = {number: list(one.plan.steps) for number, one in known.items()}
    return sorted(
        standing, key=lambda one: (-one.version, order[one.version].index(one.step) if one.step else -1, one.state)
    )


async def check_migration(
    store: Store, scenario: str, *, to: Version, version: int | None, names: Mapping[str, str]
) -> int:
    """Return the number of a migration's target version. Raise BadInput for an unknown scenario, version or step."""
    target, _ = await _versions(store, scenario, to, version, names)
    return target.published.version


async def _versions(
    store: Store, scenario: str, to: Version, version: int | None, names: Mapping[str, str]
) -> tuple[_Known, dict[int, _Known]]:
    target = await _version(store, scenario, None if to == "newest" else to)
    number = target.published.version
    if version == number:
        raise BadInput(f"{scenario}@{number} is the target version: name another version to migrate from, or none")
    known = {} if version is None else {version: await _version(store, scenario, version)}
    _require(f"in {scenario}@{number}", names.values(), [target])
    return target, known


async def _version(store: Store, scenario: str, number: int | None) -> _Known:
    published = await store.version(scenario, number)
    if published is None:
        newest = await store.newest(scenario)
        if newest is None:
            raise BadInput(f"there is no scenario '{scenario}': check its name")
        raise BadInput(f"{scenario} has no version {number}: the newest is {newest}")
    try:
        return _Known(published, load_plan(published.plan))
    except ValidationError:
        name = f"{scenario}@{published.version}"
        raise BadInput(f"{name} was published by a newer release: update this program") from None


def _require(where: str, steps: Iterable[str], versions: Collection[_Known]) -> None:
    there = list(dict.fromkeys(name for one in versions for name in one.plan.steps))
    for step in steps:
        if step not in there:
            guess = near(step, there)
            hint = f"did you mean '{guess}'?" if guess else f"there are {', '.join(there[:_NAMED])}"
            raise BadInput(f"there is no step '{step}' {where}: {hint}")


def _difference(earlier: _Known, later: _Known) -> VersionDifference | None:
    try:
        return difference(load(earlier.published.document), load(later.published.document))
    except ScenarioError:  # a newer release's
        return None
