"""From a scenario file to a stored version: read, check, compile, publish."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.errors import CheckFailed, unreadable
from scenario.check.check import Checked, check
from scenario.check.files import MAX_TEXT
from scenario.http.destinations import Listing
from scenario.model import scenario
from scenario.model.document import digest, document
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan
from scenario.source.findings import Finding
from scenario.source.yaml import MAX_BYTES

if TYPE_CHECKING:  # checking a file needs no database
    from runtime.store import Store

CASES: Final = ".test.yaml"
"""How the names of files end that hold the cases of a scenario, rather than one."""


@dataclass(frozen=True)
class Publication:
    """A published version.

    Attributes:
        scenario: The scenario's name.
        version: Its number; an earlier one where the content is not new.
        newest: The number of the scenario's newest version, which new journeys take unless their entry pins another.
        warnings: What the check found that does not stand in the way.
    """

    scenario: str
    version: int
    newest: int
    warnings: tuple[Finding, ...] = ()

    def __str__(self) -> str:
        return f"{self.scenario}@{self.version}"


def check_file(path: Path, destinations: Listing | None = None) -> Checked:
    """Checks a scenario file together with the texts that it refers to.

    Raises:
        BadInput: The file itself cannot be read.
    """
    now = datetime.now(UTC)
    return check(content(path), read=beside(path), file=str(path), destinations=destinations, now=now)


def content(path: Path) -> bytes:
    """A scenario file's bytes; of one that is too large as many as tell that it is.

    Raises:
        BadInput: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise unreadable(path, error) from None


def beside(path: Path) -> Callable[[str], str]:
    """Reads the texts that a scenario file refers to, see `scenario.check.check.check`.

    Links are followed within the scenario's folder, as Kubernetes lays out its ConfigMaps, and not out of it: what is
    read is published, and whoever may put a file there need not be one who may read everything here.
    """

    def read(name: str) -> str:
        with (path.parent / name).open(encoding="utf-8-sig") as file:
            # Once it is open: whatever cannot be resolved cannot be opened either.
            if not (path.parent / name).resolve().is_relative_to(path.parent.resolve()):
                raise PermissionError(errno.EACCES, "a link leads out of the scenario's folder")
            return file.read(MAX_TEXT + 1)

    return read


async def publish(
    path: Path, store: Store, by: str = "", *, newest: bool = False, destinations: Listing | None = None
) -> Publication:
    """Checks a scenario file and stores it, see `check_file` and `publish_checked`.

    Raises:
        CheckFailed: It has mistakes; nothing is stored.
        BadInput: It cannot be read.
    """
    checked = check_file(path, destinations)
    if checked.scenario is None:
        raise CheckFailed(str(path), checked.findings)
    return await publish_checked(checked.scenario, store, by, checked.findings, newest=newest)


async def publish_checked(
    scenario: scenario.Scenario, store: Store, by: str = "", warnings: tuple[Finding, ...] = (), *, newest: bool = False
) -> Publication:
    """Stores a scenario that a check has found good.

    The same content again is the same version. With `newest` it is stored once more where another version has followed
    it: so a scenario is rolled back.
    """
    content = document(scenario)
    plan = dump_plan(compile_plan(scenario))
    name = scenario.scenario
    version = await store.publish(name, content, plan, digest(content), by, newest=newest)
    return Publication(name, version, await store.newest(name) or version, warnings)
