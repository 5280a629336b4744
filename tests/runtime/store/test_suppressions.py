"""Addresses that must not be written to, on either engine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from runtime.store import Store
from scenario.policies.suppression import SOFT_SPAN, Suppression
from tests.runtime.store.conftest import both

NOW = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)
HASH, OLD, OTHER = "ab" * 32, "01" * 32, "cd" * 32
UNSUB = Suppression("email", HASH, "unsub", NOW, "newsletter", "one click")


@both
async def test_the_first_to_say_so_stays_on_record(store: Store, another: Store) -> None:
    assert await store.suppress(UNSUB)
    assert not await another.suppress(replace(UNSUB, suppressed_at=NOW + timedelta(days=1), evidence="again"))
    assert await another.suppressed("email", (HASH,)) == [UNSUB]
    assert await store.suppressed("sms", (HASH,)) == []
    assert await store.suppressed("email", (OTHER,)) == []


async def test_all_that_stands_against_an_address_is_found_by_any_of_its_hashes(store: Store) -> None:
    bounce = Suppression("email", OLD, "bounce", NOW - timedelta(days=9), evidence="550 5.1.1")
    everything = replace(UNSUB, scope="", suppressed_at=NOW + timedelta(days=1))
    assert await store.suppress_many([UNSUB, everything, bounce, bounce]) == 3
    assert await store.suppressed("email", (HASH, OLD)) == [bounce, UNSUB, everything]
    assert await store.suppress_many([UNSUB, replace(UNSUB, scope="vip")]) == 1


async def test_an_address_may_be_written_to_again(store: Store) -> None:
    custom, vip = Suppression("email", OLD, "custom", NOW), replace(UNSUB, scope="vip")
    await store.suppress_many([UNSUB, vip, custom, replace(custom, address_hash=OTHER)])
    assert await store.unsuppress("email", (HASH, OLD), source="unsub", scope="vip") == [vip]
    assert await store.unsuppress("email", (HASH, OLD), source="bounce") == []
    assert await store.suppressed("email", (HASH, OLD)) == [custom, UNSUB]
    assert len(await store.unsuppress("email", (HASH, OLD))) == 2
    assert await store.suppressed("email", (HASH, OLD)) == []
    assert len(await store.suppressed("email", (OTHER,))) == 1


async def test_they_are_listed_by_pages_and_counted(store: Store) -> None:
    given = [
        Suppression("email", f"{number:064x}", "unsub", NOW - timedelta(hours=number // 2), f"list-{number % 2}")
        for number in range(7)
    ]
    stop = Suppression("sms", HASH, "stop", NOW - timedelta(days=2))
    await store.suppress_many([*given, stop])
    pages: list[Suppression] = []
    while page := await store.suppressions(limit=3, after=pages[-1] if pages else None):
        pages += page
    assert pages == sorted([*given, stop], key=lambda one: (one.suppressed_at, one.address_hash), reverse=True)
    assert await store.suppressions(channel="sms") == [stop]
    assert [one.address_hash[-1] for one in await store.suppressions(source="unsub", scope="list-1")] == ["1", "3", "5"]
    assert len(await store.suppressions(since=NOW - timedelta(hours=1))) == 4
    assert await store.suppression_counts() == {("email", "unsub"): 7, ("sms", "stop"): 1}


@both
async def test_many_are_written_in_few_statements(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.store.suppressions.SUPPRESSED_TOGETHER", 100)
    given = [Suppression("email", f"{number:064x}", "custom", NOW) for number in range(234)]
    assert await store.suppress_many(given) == 234
    assert await store.suppress_many(given[::-1]) == 0
    assert await store.suppression_counts() == {("email", "custom"): 234}


@both
async def test_the_third_soft_bounce_within_a_week_suppresses(store: Store) -> None:
    async def soft(delivery: str, days: float, *hashes: str) -> bool:
        return await store.record_soft_bounce("email", hashes or (HASH,), delivery, NOW + timedelta(days=days))

    assert not await soft("msg_1", 0)
    assert not await soft("msg_1", 0.5), "a delivery counts once"
    assert not await soft("msg_2", 6)
    assert not await soft("msg_3", 8), "the first is more than a week ago"
    assert await store.suppressed("email", (HASH,)) == []
    assert await soft("msg_4", 9, OTHER, HASH), "also where the key has changed since"
    [found] = await store.suppressed("email", (OTHER, HASH))
    assert (found.source, found.scope, found.address_hash) == ("soft", "", OTHER)
    assert found.evidence == "3 soft bounces within 7 days"
    assert not await soft("msg_5", 9.5, OTHER, HASH), "it is suppressed already"


@pytest.mark.parametrize(("source", "third"), [("soft", False), (None, False), ("custom", True)])
async def test_soft_bounces_are_forgotten_with_what_came_of_them(store: Store, source: str | None, third: bool) -> None:
    for number in range(2):
        await store.record_soft_bounce("email", (HASH,), f"msg_{number}", NOW)
    await store.unsuppress("email", (HASH,), source=source)
    assert await store.record_soft_bounce("email", (HASH,), "msg_9", NOW + SOFT_SPAN / 2) is third
