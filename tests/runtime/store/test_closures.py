"""Scenarios that admit nobody."""

from __future__ import annotations

from runtime.store import AdmissionRequest, AdmittedRun, Closure, Store
from tests.factories import NOW, admission_request
from tests.runtime.store.conftest import both

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
