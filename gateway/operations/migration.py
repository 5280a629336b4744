"""What becomes of journeys that are to go on in another version: how many stand where, and whether they fit.

Search is some moments behind, so this is a forecast: each journey itself accepts the migration, or refuses with words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from pydantic import ValidationError
from temporalio.client import Client

from gateway.errors import BadInput
from gateway.operations.batch import JourneyTarget
from gateway.service.index import EVERY, JourneyFilter
from gateway.service.listing import JourneyLists, ListedJourney, listed
from runtime.store import Store, StoredVersion
from scenario.errors import ScenarioError
from scenario.model.document import load
from scenario.plan.difference import Difference, difference
from scenario.plan.migration import fate
from scenario.plan.plan import Plan, load_plan
from scenario.source.findings import near

Version = int | Literal["newest"]
"""A scenario's version, by its number or whichever is the newest."""

_DOING: Final = {
    "waiting": ("waits at", "wait at"),
    "held": ("is held at", "are held at"),
    "paused": ("is paused at", "are paused at"),
}
_BETWEEN: Final = ("is at", "are at")
_ANYWHERE: Final = ("is between steps", "are between steps")
_ASKED: Final = "each journey is asked"
_NAMED: Final = 20  # steps in a sentence


@dataclass(frozen=True)
class Standing:
    """Journeys of one version that stand at one step and do the same.

    Attributes:
        version: The version's number.
        step: The step's id; None where it is not known.
        state: ``waiting``, ``held``, ``paused``, or ``running``: in a delivery, or on its way.
        journeys: Their ids.
        fits: Whether they can go on, as far as the plans tell.
        becomes: What becomes of the step: ``which stays``, ``which is gone: map it``.
    """

    version: int
    step: str | None
    state: str
    journeys: tuple[str, ...]
    fits: bool
    becomes: str

    def __str__(self) -> str:
        """``412 wait at wait-2, which is gone: map it``."""
        count = len(self.journeys)
        doing = _ANYWHERE if self.step is None else _DOING.get(self.state, _BETWEEN)
        return f"{count:,} {doing[count != 1]}{f' {self.step}' if self.step else ''}, {self.becomes}"


@dataclass(frozen=True)
class MigrationForecast:
    """Where journeys stand that are to go on in a version, and what becomes of them.

    Attributes:
        scenario: The scenario's name.
        to: The number of the version.
        differences: What is different in it from each version that journeys follow; None where that cannot be read.
        standing: The journeys, those of later versions first, in the order of the steps.
    """

    scenario: str
    to: int
    differences: Mapping[int, Difference | None]
    standing: tuple[Standing, ...]

    @property
    def fitting(self) -> list[str]:
        """The ids of those that can go on, as far as is known."""
        return [journey for one in self.standing if one.fits for journey in one.journeys]

    @property
    def left_out(self) -> int:
        """How many cannot."""
        return sum(len(one.journeys) for one in self.standing if not one.fits)

    def targets(self, step: str | None = None) -> list[JourneyTarget]:
        """Those that can go on, for a batch.

        Args:
            step: Only as long as they stand at this one.
        """
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
    """Looks where journeys stand, and compares the versions that they follow with the one to go on in.

    Args:
        temporal: Knows what each of them is doing.
        store: Has the versions, and knows who is in.
        scenario: The scenario's name.
        to: The version to go on in.
        version: Only those that follow this one; None: any other than `to`.
        step: Only those at this step.
        state: Only those doing this; see `Standing.state`.
        names: New ids of steps by their old ones.
        limit: So many at most.

    Raises:
        BadInput: There is no such scenario, version or step.
    """
    names = names or {}
    target, known = await _versions(store, scenario, to, version, names)
    number = target.published.version
    lists = JourneyLists(temporal, store)
    found: list[ListedJourney] = []
    versions: dict[str, int] = {}
    async for entries in lists.admitted(JourneyFilter(scenario=scenario, version=version)):
        entries = [entry for entry in entries if entry.version != number]
        seen = await lists.index.states([entry.workflow_id for entry in entries])
        # One that search does not know was terminated, and could not tell the store.
        items = [listed(entry, seen) for entry in entries if entry.workflow_id in seen]
        versions.update((entry.workflow_id, entry.version) for entry in entries)
        looked = await lists.with_deliveries(items, limit=len(items))
        found += [item for item in looked if step in (None, item.step) and state in (None, item.state)]
        if len(found) >= limit:
            break
    for one in {versions[item.id] for item in found} - known.keys():
        known[one] = await _version(store, scenario, one)
    if known:
        _require("in the versions that they follow", [*names, *([step] if step else [])], known.values())
    return MigrationForecast(
        scenario,
        number,
        {one: _difference(known[one], target) for one in sorted(known, reverse=True)},
        tuple(_standing(found[:limit], versions, known, target, names)),
    )


def _standing(
    found: Iterable[ListedJourney],
    versions: Mapping[str, int],
    known: Mapping[int, _Known],
    target: _Known,
    names: Mapping[str, str],
) -> list[Standing]:
    places: dict[tuple[int, str | None, str], list[str]] = {}
    for item in found:
        number = versions[item.id]
        # Search may still know the step of an earlier version.
        step = item.step if item.step in known[number].plan.steps else None
        places.setdefault((number, step, item.state), []).append(item.id)
    standing: list[Standing] = []
    for (number, step, state), journeys in places.items():
        fits, becomes = (True, _ASKED) if step is None else fate(known[number].plan, target.plan, step, names)
        standing.append(Standing(number, step, state, tuple(journeys), fits, becomes))
    order = {number: list(one.plan.steps) for number, one in known.items()}
    return sorted(
        standing,
        key=lambda one: (-one.version, order[one.version].index(one.step) if one.step else -1, one.state),
    )


async def check_migration(
    store: Store, scenario: str, *, to: Version, version: int | None, names: Mapping[str, str]
) -> int:
    """Makes sure that a migration makes sense, without looking for journeys; gives the number of the version.

    Raises:
        BadInput: There is no such scenario, version or step.
    """
    target, _ = await _versions(store, scenario, to, version, names)
    return target.published.version


async def _versions(
    store: Store, scenario: str, to: Version, version: int | None, names: Mapping[str, str]
) -> tuple[_Known, dict[int, _Known]]:
    """The version to go on in, and by its number the one to come from, if that matters."""
    target = await _version(store, scenario, None if to == "newest" else to)
    number = target.published.version
    if version == number:
        raise BadInput(f"{scenario}@{number} is the version to go on in: name another one to come from, or none")
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
        raise BadInput(f"{name} is not for this version of the program: update it") from None


def _require(where: str, steps: Iterable[str], versions: Collection[_Known]) -> None:
    """Makes sure that steps which somebody names are in a version.

    Raises:
        BadInput: One is in none.
    """
    there = list(dict.fromkeys(name for one in versions for name in one.plan.steps))
    for step in steps:
        if step not in there:
            guess = near(step, there)
            hint = f"did you mean '{guess}'?" if guess else f"there are {', '.join(there[:_NAMED])}"
            raise BadInput(f"there is no step '{step}' {where}: {hint}")


def _difference(earlier: _Known, later: _Known) -> Difference | None:
    try:
        return difference(load(earlier.published.document), load(later.published.document))
    except ScenarioError:  # a newer program's
        return None
