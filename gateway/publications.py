"""What is published, and whether it admits contacts: looked at, closed and opened again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches

from gateway.errors import BadInput
from runtime.store import Closure, Store, VersionSummary


@dataclass(frozen=True)
class ListedVersion:
    """A published version.

    Attributes:
        published: JourneyFilter, when and by whom.
        newest: Whether it is the one that those who come in now follow, unless their entry names another.
        under_way: How many journeys follow it.
        closure: Since when and why its scenario admits nobody; None where it does admit contacts.
    """

    published: VersionSummary
    newest: bool
    under_way: int
    closure: Closure | None


async def versions(store: Store, scenario: str | None = None) -> list[ListedVersion]:
    """Published versions, the newest of each scenario first.

    Args:
        store: Has them.
        scenario: All of this one; without it, of each scenario the newest, and older ones that journeys follow still.

    Raises:
        BadInput: There is no scenario of that name.
    """
    if scenario is not None:
        await require(store, scenario)
    counts, closures = await store.counts(), await store.closures()
    found: list[ListedVersion] = []
    names: set[str] = set()
    for item in await store.listed(scenario):
        newest, count = item.scenario not in names, counts.get((item.scenario, item.version), 0)
        names.add(item.scenario)
        if scenario or newest or count:
            found.append(ListedVersion(item, newest, count, closures.get(item.scenario)))
    return found


async def close(store: Store, scenario: str, *, operator: str, reason: str = "") -> bool:
    """Lets nobody into a scenario any more, at once; journeys under way go on.

    Returns:
        False where it is closed already: who closed it first, when and why, stays.

    Raises:
        BadInput: There is no scenario of that name.
    """
    await require(store, scenario)
    return await store.close_scenario(Closure(scenario, datetime.now(UTC), operator, reason))


async def reopen(store: Store, scenario: str) -> bool:
    """Lets contacts into a scenario again. Returns False where it was not closed.

    Raises:
        BadInput: There is no scenario of that name.
    """
    await require(store, scenario)
    return await store.open_scenario(scenario)


async def require(store: Store, scenario: str) -> int:
    """Makes sure that there is a scenario. Returns the number of its newest version.

    Raises:
        BadInput: There is none of that name.
    """
    newest = await store.newest(scenario)
    if newest is None:
        names = [item.scenario for item in await store.scenarios()]
        near = get_close_matches(scenario, names, 1)
        hint = f"did you mean '{near[0]}'?" if near else "'scenario versions' lists those that are published"
        raise BadInput(f"there is no scenario '{scenario}': {hint}")
    return newest
