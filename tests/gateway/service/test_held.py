"""Held journeys in groups: counted by search, of which a few are looked at."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, cast

import pytest
from temporalio.client import Client

from gateway.service.held import GROUPS, READ_FIRST, HeldGroupKey, held_groups
from gateway.service.index import JourneyIndex
from tests.gateway.search import NOW, Search

WAX: Final = HeldGroupKey("winback", "wax", "hooks.example.com", "permanent")


@pytest.fixture
def search() -> Search:
    return Search()


def index(search: Search) -> JourneyIndex:
    return JourneyIndex(cast("Client", search))


async def test_what_is_held_for_the_same_is_one_group_and_the_largest_comes_first(search: Search) -> None:
    crm = HeldGroupKey("winback", "crm", "crm", "exhausted")
    search.hold(crm)
    search.hold(WAX, 3)
    found = await held_groups(index(search))
    assert [(group.at, group.count, group.is_sampled) for group in found.groups] == [(WAX, 3, False), (crm, 1, False)]
    assert (found.total, found.others) == (4, 0)
    wax = found.groups[0]
    assert (wax.since, wax.latest.hold.since) == (NOW, NOW + timedelta(seconds=2))
    reason = f"since {(NOW + timedelta(seconds=2)).isoformat()}"
    assert (wax.latest.hold.status, wax.latest.hold.reason) == (422, reason)
    assert await index(search).count(crm.query) == 1
    assert [one.hold.since for one in await index(search).find(WAX.query, limit=2)] == [
        NOW + timedelta(seconds=2),
        NOW + timedelta(seconds=1),
    ]


async def test_a_group_is_found_behind_thousands_of_another_and_few_are_looked_at(search: Search) -> None:
    small = HeldGroupKey("old", "step", None, None)
    search.hold(small, 2, since=None)
    search.hold(WAX, 5000)
    found = await held_groups(index(search))
    assert [(group.at, group.count) for group in found.groups] == [(WAX, 5000), (small, 2)]
    assert (found.total, found.others) == (5002, 0)
    assert found.groups[0].is_sampled
    assert search.listed == READ_FIRST + 2
    assert (found.groups[1].since, found.groups[1].latest.hold.reason) == (None, None)


async def test_groups_that_differ_by_one_thing_alone_are_counted_apart(search: Search) -> None:
    changes = ({"scenario": "another"}, {"step": "wax-2"}, {"destination": None}, {"cause": None})
    places = [WAX, *(WAX._replace(**one) for one in changes), WAX._replace(destination=None, cause=None)]
    for number, at in enumerate(places, READ_FIRST):
        search.hold(at, number)
    found = await held_groups(index(search))
    assert sorted(group.count for group in found.groups) == [*range(READ_FIRST, READ_FIRST + len(places))]
    assert found.others == 0


async def test_more_groups_than_a_page_has_room_for_are_told_as_a_number(search: Search) -> None:
    for number in range(GROUPS + 5):
        search.hold(WAX._replace(step=f"step-{number}"), 200)
    found = await held_groups(index(search))
    assert ([group.count for group in found.groups], found.others) == ([200] * GROUPS, 1000)
    assert search.listed <= 1000


async def test_a_key_for_some_scenarios_sees_theirs_alone(search: Search) -> None:
    search.hold(WAX, 2)
    search.hold(WAX._replace(scenario="secret"), 7)
    found = await held_groups(index(search), {"winback", "reward"})
    assert (found.total, [group.at for group in found.groups]) == (2, [WAX])
    counted = search.counted
    assert (await held_groups(index(search), set())).total == 0
    assert search.counted == counted


async def test_nothing_is_held(search: Search) -> None:
    found = await held_groups(index(search))
    assert (found.total, found.groups, found.others, search.counted) == (0, [], 0, 1)
