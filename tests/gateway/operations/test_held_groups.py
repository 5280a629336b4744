"""Held journeys in groups: counted by search, of which a few are looked at."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes

from gateway.operations.held_groups import GROUPS, LOOKED_AT, HeldAt, count_held, held_groups, look_at
from runtime.search_attributes import DESTINATION, HELD_REASON, LAST_HELD, SCENARIO_NAME, STEP_ID

NOW: Final = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)
COLUMNS: Final = ("ScenarioName", "StepId", "Destination", "HeldReason")
WAX: Final = HeldAt("winback", "wax", "hooks.example.com", "permanent")


@dataclass
class Search:
    """Temporal's search with SQL as its store, of which SQLite understands the same clauses."""

    database: sqlite3.Connection = field(default_factory=lambda: sqlite3.connect(":memory:"))
    listed: int = 0
    counted: int = 0

    def __post_init__(self) -> None:
        self.database.execute(
            "CREATE TABLE held (id, at, WorkflowType DEFAULT 'Journey', ExecutionStatus DEFAULT 'Running', "
            f"JourneyState DEFAULT 'held', {', '.join(COLUMNS)})"
        )

    def hold(self, at: HeldAt, times: int = 1, *, since: datetime | None = NOW) -> None:
        rows = [(since and (since + timedelta(seconds=number)).isoformat(), *at) for number in range(times)]
        self.database.executemany(
            f"INSERT INTO held (id, at, {', '.join(COLUMNS)}) VALUES (hex(randomblob(8)), ?, ?, ?, ?, ?)", rows
        )

    async def count_workflows(self, query: str) -> Any:
        self.counted += 1
        return SimpleNamespace(count=self.database.execute(f"SELECT count(*) FROM held WHERE {query}").fetchone()[0])

    async def list_workflows(self, query: str, *, limit: int) -> AsyncIterator[Any]:
        columns = ", ".join(("id", "at", *COLUMNS))
        found = self.database.execute(f"SELECT {columns} FROM held WHERE {query} ORDER BY rowid DESC LIMIT {limit}")
        for row in found:
            self.listed += 1
            yield Found(*row)


class Found:
    """What search finds."""

    def __init__(self, identifier: str, at: str | None, *values: str | None) -> None:
        self.id, self._at = identifier, at
        keys = (SCENARIO_NAME, STEP_ID, DESTINATION, HELD_REASON)
        self.typed_search_attributes = TypedSearchAttributes(
            [SearchAttributePair(key, value) for key, value in zip(keys, values, strict=True) if value]
        )

    async def memo(self) -> dict[str, Any]:
        return {LAST_HELD: {"at": self._at, "reason": f"since {self._at}", "status": 422}} if self._at else {}


@pytest.fixture
def search() -> Search:
    return Search()


def client(search: Search) -> Client:
    return cast("Client", search)


async def test_what_is_held_for_the_same_is_one_group_and_the_largest_comes_first(search: Search) -> None:
    crm = HeldAt("winback", "crm", "crm", "exhausted")
    search.hold(crm)
    search.hold(WAX, 3)
    found = await held_groups(client(search))
    assert [(group.at, group.count, group.is_sampled) for group in found.groups] == [(WAX, 3, False), (crm, 1, False)]
    assert (found.total, found.others) == (4, 0)
    wax = found.groups[0]
    assert (wax.since, wax.latest.since) == (NOW, NOW + timedelta(seconds=2))
    assert (wax.latest.status, wax.latest.why) == (422, f"since {(NOW + timedelta(seconds=2)).isoformat()}")
    assert await count_held(client(search), crm) == 1
    assert [sample.since for sample in await look_at(client(search), WAX, 2)] == [
        NOW + timedelta(seconds=2),
        NOW + timedelta(seconds=1),
    ]


async def test_a_group_is_found_behind_thousands_of_another_and_few_are_looked_at(search: Search) -> None:
    small = HeldAt("old", "step", None, None)  # an earlier release said neither to whom nor why
    search.hold(small, 2, since=None)
    search.hold(WAX, 5000)
    found = await held_groups(client(search))
    assert [(group.at, group.count) for group in found.groups] == [(WAX, 5000), (small, 2)]
    assert (found.total, found.others) == (5002, 0)
    assert found.groups[0].is_sampled
    assert search.listed == LOOKED_AT + 2
    assert (found.groups[1].since, found.groups[1].latest.why) == (None, None)


async def test_groups_that_differ_by_one_thing_alone_are_counted_apart(search: Search) -> None:
    places = [
        WAX,
        WAX._replace(scenario="another"),
        WAX._replace(step="wax-2"),
        WAX._replace(destination=None),
        WAX._replace(cause=None),
        WAX._replace(destination=None, cause=None),
    ]
    for number, at in enumerate(places, LOOKED_AT):
        search.hold(at, number)
    found = await held_groups(client(search))
    assert sorted(group.count for group in found.groups) == [*range(LOOKED_AT, LOOKED_AT + len(places))]
    assert found.others == 0


async def test_more_groups_than_a_page_has_room_for_are_told_as_a_number(search: Search) -> None:
    for number in range(GROUPS + 5):
        search.hold(WAX._replace(step=f"step-{number}"), 2)
    found = await held_groups(client(search))
    assert len(found.groups) == GROUPS
    assert found.others == 10


async def test_a_key_for_some_scenarios_sees_theirs_alone(search: Search) -> None:
    search.hold(WAX, 2)
    search.hold(WAX._replace(scenario="secret"), 7)
    found = await held_groups(client(search), {"winback", "reward"})
    assert (found.total, [group.at for group in found.groups]) == (2, [WAX])
    counted = search.counted
    assert (await held_groups(client(search), set())).total == 0
    assert search.counted == counted


async def test_nothing_is_held(search: Search) -> None:
    found = await held_groups(client(search))
    assert (found.total, found.groups, found.others, search.counted) == (0, (), 0, 1)
