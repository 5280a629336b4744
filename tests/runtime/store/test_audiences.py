"""Uploaded files in the store: complete or unusable, and deleted unless a campaign is still to read them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from runtime.store import Store
from runtime.store.audiences import StoredAudience
from tests.factories import present, stored_campaign

NOW = datetime(2026, 11, 27, 9, 0, tzinfo=UTC)
FILE = StoredAudience(id="a1", name="people.csv", owner="ann", created_at=NOW)
SALE = stored_campaign(audience="a1")


@pytest.fixture
async def stored(store: Store) -> Store:
    await add(store, FILE)
    return store


async def add(store: Store, file: StoredAudience) -> None:
    await store.add_audience(file)
    await store.add_audience_part(file.id, 0, "one")
    await store.add_audience_part(file.id, 1, "two")
    assert await store.complete_audience(file.id, "sha", 6, 2, NOW)


async def test_the_newest_complete_file_of_a_key_is_found(stored: Store) -> None:
    await add(stored, replace(FILE, id="a2", created_at=NOW + timedelta(hours=1)))
    await stored.add_audience(replace(FILE, id="a3", created_at=NOW + timedelta(hours=2)))
    await add(stored, replace(FILE, id="a4", owner="bob", created_at=NOW + timedelta(hours=3)))
    found = present(await stored.newest_audience("ann", "people.csv"))
    assert (found.id, found.digest, found.bytes, found.parts) == ("a2", "sha", 6, 2)
    assert await stored.newest_audience("ann", "other.csv") is None
    assert [await stored.audience_part("a2", number) for number in range(3)] == ["one", "two", None]


async def test_one_is_kept_while_another_campaign_is_to_read_it(stored: Store) -> None:
    await stored.add_campaign(SALE)
    await stored.add_campaign(replace(SALE, name="ended"))
    await stored.end_campaign("ended", "failed", NOW)
    await stored.delete_audience("a1", besides="other")
    assert await stored.delete_audiences(NOW + timedelta(days=1)) == (0, 1)
    assert await stored.audience_part("a1", 0) == "one"
    await stored.delete_audience("a1", besides="sale")
    assert (await stored.stored_audience("a1"), await stored.audience_part("a1", 0)) == (None, None)
    assert not await stored.complete_audience("a1", "sha", 6, 2, NOW)


async def test_older_files_are_deleted_together(stored: Store) -> None:
    await add(stored, replace(FILE, id="a2", created_at=NOW + timedelta(hours=1)))
    assert await stored.delete_audiences(NOW + timedelta(minutes=1)) == (1, 0)
    assert (await stored.audience_part("a1", 0), await stored.audience_part("a2", 0)) == (None, "one")
