"""From a scenario file to a stored version: read, check, compile, publish."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, Literal, Self

from authoring.errors import CheckFailed, unreadable
from scenario.check.check import MAX_TEXT, CheckedScenario, check
from scenario.errors import ScenarioError
from scenario.http.destinations import KnownDestinations
from scenario.model import scenario
from scenario.model.scenario import digest, document, load
from scenario.plan.compile import compile_plan
from scenario.plan.migration import VersionDifference, difference
from scenario.plan.plan import dump_plan
from scenario.policies.policies import Policies
from scenario.source.findings import Finding
from scenario.source.yaml import MAX_BYTES

if TYPE_CHECKING:  # checking a file needs no database
    from runtime.store import Store

Journeys = Literal["pin", "follow"]
"""`pin`: journeys stay with their version. `follow`: they move to newer ones as soon as they can."""

CASES: Final = ".test.yaml"  # the ending of names of files with cases
SENT: Final = "scenario.yaml"  # the name of a submitted scenario in findings


@dataclass(frozen=True)
class ScenarioFile:
    """The source of a scenario."""

    name: str  # its name in findings
    content: str | bytes = field(repr=False)  # YAML; of a file that is too large, only its beginning
    read: Callable[[str], str]  # returns a text that it refers to; see `scenario.check.check.check`

    @classmethod
    def at(cls, path: Path) -> Self:
        """Open a file, with the files in its folder. Raise BadInput if it cannot be read."""
        return cls(str(path), read_source(path), _beside(path))

    @classmethod
    def sent(cls, content: str, files: Mapping[str, str] | None = None, name: str = SENT) -> Self:
        """Return a submitted text with its files by path. No file of this machine is read for it."""
        texts = {str(PurePosixPath(path)): text for path, text in (files or {}).items()}

        def read(path: str) -> str:
            try:
                text = texts[str(PurePosixPath(path))]
            except KeyError:
                raise FileNotFoundError(errno.ENOENT, "it is not among the files that were sent") from None
            # As it would be read from a file, so that both ways make the same version.
            return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")

        return cls(name, content, read)


def read_source(path: Path) -> bytes:
    """Return a file's bytes; of one that is too large, one byte too many. Raise BadInput if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from None


def _beside(path: Path) -> Callable[[str], str]:
    """Return a reader of the texts that a file refers to.

    Links are followed within the scenario's folder, as in ConfigMaps of Kubernetes, and not out of it: the texts are
    published, and a person who may add files there may not be allowed to read all files here.
    """

    def read(name: str) -> str:
        with (path.parent / name).open(encoding="utf-8-sig") as file:
            # After opening: a path that cannot be resolved cannot be opened either.
            if not (path.parent / name).resolve().is_relative_to(path.parent.resolve()):
                raise PermissionError(errno.EACCES, "a link leads out of the scenario's folder")
            return file.read(MAX_TEXT + 1)

    return read


@dataclass(frozen=True)
class EarlierVersion:
    """An earlier version with running journeys; `follows` if they move to the newest one as soon as they can."""

    version: int
    journeys: int
    follows: bool


@dataclass(frozen=True)
class Publication:
    """A published version."""

    scenario: str
    version: int  # its number; that of an earlier version if the content is not new
    newest: int  # the number of the newest version, which new journeys take unless their entry names another
    warnings: tuple[Finding, ...] = ()
    before: int | None = None  # the version that was the newest before, or None if this one is not new
    difference: VersionDifference | None = None  # the differences from that one, or None if it cannot be read
    under_way: tuple[EarlierVersion, ...] = ()  # earlier versions with running journeys

    def __str__(self) -> str:
        return f"{self.scenario}@{self.version}"


def check_file(
    file: ScenarioFile | Path, destinations: KnownDestinations | None = None, policies: Policies | None = None
) -> CheckedScenario:
    """Check a scenario file with the texts that it refers to. Raise BadInput if it cannot be read.

    Args:
        destinations: The existing destinations, or None if they are not known.
    """
    file = file if isinstance(file, ScenarioFile) else ScenarioFile.at(file)
    now = datetime.now(UTC)
    return check(file.content, read=file.read, file=file.name, destinations=destinations, policies=policies, now=now)


async def publish(
    path: Path,
    store: Store,
    by: str = "",
    *,
    newest: bool = False,
    journeys: Journeys | None = None,
    destinations: KnownDestinations | None = None,
) -> Publication:
    """Check a scenario file and store it; see `publish_checked`. Raise CheckFailed if it has errors."""
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
    """Store a checked scenario. The same content again is the same version.

    Args:
        by: The person or key to record.
        newest: If another version has followed this content, store it once more: a rollback.
        journeys: Whether its journeys stay with it or follow newer ones. The same content with another word is another
            version. None: that of the content, and `pin` if it is new.
    """
    content = document(scenario)
    compiled = compile_plan(scenario, follows=journeys == "follow")
    plan = dump_plan(compiled)
    name = scenario.scenario
    before = await store.newest(name)
    version = await store.publish(
        name, content, plan, digest(content), by, newest=newest, journeys=journeys, events=compiled.events
    )
    last = await store.newest(name) or version
    made = Publication(name, version, last, warnings)
    if before is None or version <= before or version < last:
        return made
    found = await difference_since(store, before, scenario)
    return replace(made, before=before, difference=found, under_way=await running_before(store, name, version))


async def difference_since(store: Store, before: int, scenario: scenario.Scenario) -> VersionDifference | None:
    """Return the differences from a version to a scenario, or None if a newer program published the version."""
    earlier = await store.version(scenario.scenario, before)
    try:
        # Of thousands of steps, it takes seconds.
        return await asyncio.to_thread(difference, load(earlier.document), scenario) if earlier else None
    except ScenarioError:
        return None


async def running_before(store: Store, name: str, version: int) -> tuple[EarlierVersion, ...]:
    counts = await store.counts()
    return tuple(
        EarlierVersion(item.version, count, item.journeys == "follow")
        for item in await store.version_summaries(name)
        if item.version < version and (count := counts.get((name, item.version), 0))
    )
