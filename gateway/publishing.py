"""From a scenario file to a stored version: read, check, compile, publish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from gateway.errors import CheckFailed
from gateway.scenario_file import ScenarioFile
from scenario.check.check import CheckedScenario, check
from scenario.errors import ScenarioError
from scenario.http.destinations import KnownDestinations
from scenario.model import scenario
from scenario.model.document import digest, document, load
from scenario.plan.compile import compile_plan
from scenario.plan.difference import VersionDifference, difference
from scenario.plan.plan import dump_plan
from scenario.policies.hours import QuietHours
from scenario.source.findings import Finding

if TYPE_CHECKING:  # checking a file needs no database
    from runtime.store import Store

Journeys = Literal["pin", "follow"]
"""Whether the journeys of a version stay with it, or go on in newer ones as soon as they can."""

CASES: Final = ".test.yaml"
"""How the names of files end that hold the cases of a scenario, rather than one."""


@dataclass(frozen=True)
class EarlierVersion:
    """A version that journeys are under way in.

    Attributes:
        version: Its number.
        journeys: How many.
        follows: Whether they go on in the newest version as soon as they can.
    """

    version: int
    journeys: int
    follows: bool


@dataclass(frozen=True)
class Publication:
    """A published version.

    Attributes:
        scenario: The scenario's name.
        version: Its number; an earlier one where the content is not new.
        newest: The number of the scenario's newest version, which new journeys take unless their entry pins another.
        warnings: What the check found that does not stand in the way.
        before: The version that was the newest before this one; None where this one is no new one.
        difference: What is different from that one; None where it cannot be read.
        under_way: Of earlier versions, those that journeys are under way in.
    """

    scenario: str
    version: int
    newest: int
    warnings: tuple[Finding, ...] = ()
    before: int | None = None
    difference: VersionDifference | None = None
    under_way: tuple[EarlierVersion, ...] = ()

    def __str__(self) -> str:
        return f"{self.scenario}@{self.version}"


def check_file(
    file: ScenarioFile | Path, destinations: KnownDestinations | None = None, quiet_hours: Sequence[QuietHours] = ()
) -> CheckedScenario:
    """Checks a scenario file together with the texts that it refers to.

    Args:
        file: The file, or its path.
        destinations: Those that exist; None where they are not known.
        quiet_hours: Those of the workspace.

    Raises:
        BadInput: The file itself cannot be read.
    """
    file = file if isinstance(file, ScenarioFile) else ScenarioFile.at(file)
    now = datetime.now(UTC)
    return check(
        file.content, read=file.read, file=file.name, destinations=destinations, quiet_hours=quiet_hours, now=now
    )


async def publish(
    path: Path,
    store: Store,
    by: str = "",
    *,
    newest: bool = False,
    journeys: Journeys | None = None,
    destinations: KnownDestinations | None = None,
) -> Publication:
    """Checks a scenario file and stores it, see `check_file` and `publish_checked`.

    Raises:
        CheckFailed: It has mistakes; nothing is stored.
        BadInput: It cannot be read.
    """
    checked = check_file(path, destinations)
    if checked.scenario is None:
        raise CheckFailed(str(path), checked.findings)
    return await publish_checked(checked.scenario, store, by, checked.findings, newest=newest, journeys=journeys)


async def publish_checked(
    scenario: scenario.Scenario,
    store: Store,
    by: str = "",
    warnings: tuple[Finding, ...] = (),
    *,
    newest: bool = False,
    journeys: Journeys | None = None,
) -> Publication:
    """Stores a scenario that a check has found good.

    The same content again is the same version. With `newest` it is stored once more where another version has followed
    it: so a scenario is rolled back. With another word for its `journeys` it is another version, too.
    """
    content = document(scenario)
    plan = dump_plan(compile_plan(scenario, follows=journeys == "follow"))
    name = scenario.scenario
    before = await store.newest(name)
    version = await store.publish(name, content, plan, digest(content), by, newest=newest, journeys=journeys)
    last = await store.newest(name) or version
    if before is None or version <= before or version < last:
        return Publication(name, version, last, warnings)
    return Publication(
        name,
        version,
        last,
        warnings,
        before,
        await _since(store, before, scenario),
        await _under_way(store, name, version),
    )


async def _since(store: Store, before: int, scenario: scenario.Scenario) -> VersionDifference | None:
    earlier = await store.version(scenario.scenario, before)
    try:
        return difference(load(earlier.document), scenario) if earlier else None
    except ScenarioError:  # a newer program's
        return None


async def _under_way(store: Store, name: str, version: int) -> tuple[EarlierVersion, ...]:
    counts = await store.counts()
    return tuple(
        EarlierVersion(item.version, count, item.journeys == "follow")
        for item in await store.listed(name)
        if item.version < version and (count := counts.get((name, item.version), 0))
    )
