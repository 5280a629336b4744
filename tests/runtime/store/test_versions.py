"""Published scenarios, and those that admit nobody."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from runtime.store import AdmissionRequest, AdmittedRun, Closure, Store
from runtime.store.versions import VersionSummary
from tests.factories import NOW, admission_request, present
from tests.runtime.store.conftest import both


async def test_the_same_content_is_the_same_version_and_the_newest_where_that_is_asked_for(
    store: Store, another: Store
) -> None:
    async def publish(number: int, at: Store = store, *, newest: bool = False, by: str = "ann") -> int:
        return await at.publish("welcome", {"n": number}, {"by": by}, f"digest-{number}", by=by, newest=newest)

    assert [await publish(number) for number in (1, 2)] == [1, 2]
    assert await publish(1, by="bob") == 1
    first = present(await store.version("welcome", 1))
    assert (first.plan, first.published_by, await store.newest("welcome")) == ({"by": "ann"}, "ann", 2)
    assert await publish(1, newest=True) == 3
    third = present(await another.version("welcome"))
    assert (third.version, third.document) == (3, {"n": 1})
    assert await publish(1, newest=True) == 3, "it is the newest already"
    assert await publish(1, another) == 3
    assert await publish(2, newest=True) == 4
    assert await publish(1) == 1
    assert [await publish(number, newest=True) for number in (1, 3)] == [5, 6]


@both
async def test_two_who_roll_back_at_once_make_one_version(store: Store, another: Store) -> None:
    for number in (1, 2):
        await store.publish("welcome", {"n": number}, {}, f"digest-{number}")
    asked = (at.publish("welcome", {"n": 1}, {}, "digest-1", newest=True) for at in (store, another) * 4)
    assert set(await asyncio.gather(*asked)) == {3}


@both
async def test_a_version_comes_back_as_it_was_published(store: Store, another: Store) -> None:
    document = {"z": 1, "a": ["é", "\x00", "\ud800", None, 1.5], "m": {"ö": True}}
    await store.publish("welcome", document, {"b": {}, "a": {}}, "digest", by="ann")
    published = present(await another.version("welcome"))
    assert published.document == document
    assert list(published.document) == ["z", "a", "m"]
    assert list(published.plan) == ["b", "a"]
    assert (published.scenario, published.version, published.digest) == ("welcome", 1, "digest")
    assert published.published_by == "ann"
    assert published.published_at.utcoffset() == timedelta(0)
    assert datetime.now(UTC) - published.published_at < timedelta(minutes=1)


async def test_scenarios_are_listed_with_their_newest_version(store: Store) -> None:
    assert await store.scenarios() == []
    assert (await store.version("welcome"), await store.newest("welcome")) == (None, None)
    for name, digest in (("welcome", "1"), ("birthday", "1"), ("welcome", "2")):
        await store.publish(name, {}, {}, digest)
    listed = await store.scenarios()
    assert [(one.scenario, one.version) for one in listed] == [("birthday", 1), ("welcome", 2)]
    newest = present(await store.version("welcome"))
    assert listed[1] == VersionSummary("welcome", 2, newest.published_at, "")
    assert await store.version("welcome", 3) is None


@both
async def test_publishers_at_once_get_a_number_each_and_one_for_the_same_content(store: Store, another: Store) -> None:
    def all_at_once(at: Store, by: str) -> list[asyncio.Task[int]]:
        return [
            asyncio.create_task(at.publish("welcome", {"n": digest}, {}, f"digest-{digest}", by=by))
            for digest in range(8)
        ]

    first, second = all_at_once(store, "ann"), all_at_once(another, "bob")
    numbers, again = await asyncio.gather(*first), await asyncio.gather(*second)
    assert numbers == again
    assert sorted(numbers) == list(range(1, 9))


async def test_the_word_for_journeys_belongs_to_the_publication(store: Store, another: Store) -> None:
    async def publish(number: int, journeys: Any = None, *, newest: bool = False) -> int:
        content = {"n": number}
        return await store.publish("sale", content, {}, f"digest-{number}", journeys=journeys, newest=newest)

    assert await publish(1) == 1
    assert await publish(1, "pin") == 1
    assert await publish(1, "follow") == 2, "a version never changes"
    assert await publish(1, "follow") == await publish(1) == 2, "who says no word takes any"
    assert await publish(1, "pin") == 1
    assert await publish(1, "pin", newest=True) == 3
    assert await publish(2, "follow") == 4
    assert await publish(1) == 1
    assert await publish(1, "follow", newest=True) == 5
    assert await publish(1, newest=True) == 5
    assert await publish(2, newest=True) == 6
    listed = await another.version_summaries("sale")
    assert [(one.version, one.journeys) for one in reversed(listed)] == [
        (1, "pin"),
        (2, "follow"),
        (3, "pin"),
        (4, "follow"),
        (5, "follow"),
        (6, "pin"),
    ]
    fifth = present(await another.version("sale", 5))
    assert (fifth.journeys, fifth.document) == ("follow", {"n": 1})


CLOSURE = Closure("a", NOW, "ann", "the sale is over")


def asking(contact: str, scenario: str = "a") -> AdmissionRequest:
    return admission_request(contact, scenario, run_id="r1")


@both
async def test_a_closed_scenario_lets_nobody_in_at_once_and_forgets_nobody(store: Store, another: Store) -> None:
    assert isinstance(await store.admit(asking("1")), AdmittedRun)
    assert await another.close_scenario(CLOSURE)
    assert await store.admit(asking("2")) == CLOSURE
    assert isinstance(await store.admit(asking("1")), AdmittedRun), "it asks again, and is in"
    assert isinstance(await store.admit(asking("2", "b")), AdmittedRun)
    await store.depart("a/1", "r1", "finished", None, NOW)
    again = admission_request("1", "a", run_id="r2")
    assert await store.admit(again) == CLOSURE, "who was in before stays out as well"
    assert await store.open_scenario("a")
    assert isinstance(await store.admit(again), AdmittedRun)
    assert isinstance(await store.admit(asking("2")), AdmittedRun)


async def test_the_first_to_close_it_stays_on_record(store: Store) -> None:
    assert await store.close_scenario(CLOSURE)
    assert not await store.close_scenario(Closure("a", NOW, "bob", ""))
    assert await store.closure("a") == CLOSURE
    assert await store.closures() == {"a": CLOSURE}
    assert await store.closure("b") is None
    assert await store.open_scenario("a")
    assert not await store.open_scenario("a")
    assert await store.closures() == {}


async def test_versions_are_listed_and_their_journeys_counted(store: Store) -> None:
    for number in (1, 2):
        await store.publish("a", {"n": number}, {}, f"d{number}", "ann")
    await store.publish("b", {}, {}, "d")
    await store.admit(asking("1"))
    await store.admit(asking("2"))
    await store.depart("a/2", "r1", "finished", None, NOW)
    assert [(item.scenario, item.version) for item in await store.version_summaries()] == [("a", 2), ("a", 1), ("b", 1)]
    assert [(item.version, item.published_by) for item in await store.version_summaries("a")] == [
        (2, "ann"),
        (1, "ann"),
    ]
    assert await store.counts() == {("a", 1): 1}
