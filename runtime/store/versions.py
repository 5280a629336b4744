"""Scenarios: their published versions, immutable and numbered, and those that are closed to new entries."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal

import sqlalchemy as sa

from runtime.store.database import InsertFactory, Queries, matching
from runtime.store.schema import SafeText, table_of


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A published version of a scenario."""

    scenario: str
    version: int
    events: str | None = field(default=None, kw_only=True)
    """Names of the events that its journeys use, each between two spaces. None if that is unknown. The column stands
    before the large ones, which SQLite would otherwise read as well."""
    document: dict[str, Any]
    plan: dict[str, Any]
    digest: str
    """Digest of the content, unique within the scenario. A ``+follow`` is appended if `journeys` is ``follow``, and
    ``~`` with the replaced version if earlier content was published again."""
    published_at: datetime
    published_by: str = ""  # publisher as stated, or ""
    journeys: str = "pin"
    """``pin``: its journeys stay with it. ``follow``: they move to newer versions."""


versions = table_of(
    "scenario_versions",
    StoredVersion,
    sa.Column("journeys", SafeText, nullable=False, server_default="pin"),
    sa.PrimaryKeyConstraint("scenario", "version"),
    # Equal content is one version, also if two publishers race.
    sa.UniqueConstraint("scenario", "digest"),
)
"""Published scenarios. A row never changes and is never deleted: running journeys depend on it."""

_table = versions.c


@dataclass(frozen=True, slots=True)
class VersionSummary:
    """A version without its content."""

    scenario: str
    version: int
    published_at: datetime
    published_by: str
    journeys: str = "pin"


@dataclass(frozen=True, slots=True)
class Closure:
    """A scenario that is closed to new entries, and an optional reason."""

    scenario: str
    closed_at: datetime
    closed_by: str
    reason: str


closed = table_of("closed_scenarios", Closure, sa.PrimaryKeyConstraint("scenario"))
"""Scenarios that are closed to new entries."""


class Versions(Queries):
    """The tables of published and of closed scenarios."""

    async def publish(
        self,
        scenario: str,
        document: Mapping[str, Any],
        plan: Mapping[str, Any],
        digest: str,
        by: str = "",
        *,
        newest: bool = False,
        journeys: Literal["pin", "follow"] | None = None,
        events: Collection[str] | None = None,
    ) -> int:
        """Store a scenario as its next version, and return its number. Equal content is stored once.

        Of earlier content, the number is that of the newest version if it matches, else that of the first match.

        Args:
            digest: Digest of the content. Versions with equal digests keep the first one's plan.
            newest: Make the content the newest version: if another has followed it, store it again.
            journeys: See `StoredVersion`. Equal content with another value is another version. None accepts either, and
                means ``pin`` for new content.
            events: Names of the events that its journeys use. None if that is unknown: they then get every event.
        """
        digests = {"pin": digest, "follow": f"{digest}{_FOLLOWS}"}
        accepted = [digests[journeys]] if journeys else [*digests.values()]
        own = digests[journeys or "pin"]
        row = {
            "scenario": scenario,
            "digest": own,
            "document": dict(document),
            "plan": dict(plan),
            "published_at": datetime.now(UTC),
            "published_by": by,
            "journeys": journeys or "pin",
            "events": None if events is None else f" {' '.join(sorted(events))} ",
        }
        while True:
            last = await self._database.read(_LAST, {"scenario": scenario})
            if last and last[0]["digest"].partition(_AGAIN)[0] in accepted:
                return last[0]["version"]
            known = await self._database.read(_BY_DIGEST, {"scenario": scenario, "digests": accepted})
            if known and not newest:
                return known[0]["version"]
            if known:  # concurrent publishers compute the same digest, and get one version
                row["digest"] = f"{own}{_AGAIN}{last[0]['version']}"
            added = await self._database.write(_add(self._database.insert), row)
            if added:
                return added[0]["version"]
            # Another publisher took the number or published the same content: read again. Each turn completes
            # one publisher, so this ends.

    async def newest(self, scenario: str) -> int | None:
        """Return the number of a scenario's newest version, or None if it was never published."""
        return await self._value(_NEWEST, {"scenario": scenario})

    async def version(self, scenario: str, version: int | None = None) -> StoredVersion | None:
        """Return a version, the newest by default, or None. Versions never change, so they may be cached."""
        if version is None:
            version = await self.newest(scenario)
            if version is None:
                return None
        return await self._find(StoredVersion, versions, scenario=scenario, version=version)

    async def scenarios(self) -> list[VersionSummary]:
        """Return the newest version of every scenario, by name."""
        return await self._all(VersionSummary, _SCENARIOS)

    async def version_summaries(self, scenario: str | None = None) -> list[VersionSummary]:
        """Return the versions of one scenario or of all, the newest of each scenario first."""
        listed = _summary.where(*matching(versions, scenario=scenario))
        return await self._all(VersionSummary, listed.order_by(_table.scenario, _table.version.desc()))

    # ---- closures. Admission checks them in the same statement that admits an entry.

    async def close_scenario(self, closure: Closure) -> bool:
        """Close a scenario. Return False if it was already closed; the first closure is kept."""
        return await self._add(closed, closure)

    async def open_scenario(self, scenario: str) -> bool:
        """Reopen a scenario. Return False if it was not closed."""
        return await self._delete(closed, closed.c.scenario == scenario)

    async def closure(self, scenario: str) -> Closure | None:
        """Return the closure of a scenario, or None if it is open."""
        return await self._find(Closure, closed, scenario=scenario)

    async def closures(self) -> dict[str, Closure]:
        return {closure.scenario: closure for closure in await self._all(Closure, sa.select(closed))}


_AGAIN = "~"
_FOLLOWS = "+follow"
_ADDED = ("scenario", "digest", "document", "plan", "published_at", "published_by", "journeys", "events")

_BY_DIGEST = (
    sa.select(_table.version)
    .where(_table.scenario == sa.bindparam("scenario"), _table.digest.in_(sa.bindparam("digests", expanding=True)))
    .order_by(_table.version)
)
_LAST = (
    sa.select(_table.version, _table.digest)
    .where(_table.scenario == sa.bindparam("scenario"))
    .order_by(_table.version.desc())
    .limit(1)
)
_NEWEST = sa.select(sa.func.max(_table.version)).where(_table.scenario == sa.bindparam("scenario"))
_summary = sa.select(*(_table[field.name] for field in fields(VersionSummary)))
_later = versions.alias()
_last = sa.select(sa.func.max(_later.c.version)).where(_later.c.scenario == _table.scenario).scalar_subquery()
_SCENARIOS = _summary.where(_table.version == _last).order_by(_table.scenario)


@cache
def _add(insert: InsertFactory) -> sa.Executable:
    taken = {name: sa.bindparam(name, type_=_table[name].type) for name in _ADDED}
    number = sa.func.coalesce(sa.func.max(_table.version), sa.literal(0)) + 1
    row = sa.select(number, *taken.values()).where(_table.scenario == taken["scenario"])
    return insert(versions).from_select(["version", *_ADDED], row).on_conflict_do_nothing().returning(_table.version)
