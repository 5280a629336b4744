"""Places under caps: never one too many, and counted once a delivery."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import psycopg
import pytest

from runtime.errors import StoreFault
from runtime.store import CapClaim, Store
from runtime.store.claims import Claims
from scenario.policies.caps import Cap, Full, full
from tests.factories import cap_claim
from tests.runtime.store.conftest import Server, both
from tests.runtime.store.test_deliveries import DELIVERED, FAILED

NOW = datetime(2026, 3, 3, 10, 0, 0, 123456, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PARIS = ZoneInfo("Europe/Paris")


def cap(at_most: int, per: str, *channels: str, name: str = "some") -> Cap:
    return Cap.model_validate({"name": name, "at_most": at_most, "per": per, "channels": channels or None})


def claim(delivery_id: str, contact_id: str = "7", **other: Any) -> CapClaim:
    return cap_claim(delivery_id, contact_id, **{"claimed_at": NOW, **other})


async def ids(store: Store, contact_id: str = "7") -> list[str]:
    return sorted(one.delivery_id for one in await store.claims_of(contact_id, NOW - 100 * DAY))


@both
async def test_a_delivery_takes_a_place_until_none_is_left(store: Store) -> None:
    caps = [cap(2, "7d", name="week")]
    full_week = Full("week", 2, "7d", datetime(2026, 3, 10, 10, 0, 1, tzinfo=UTC))
    assert await store.claim(claim("msg_1"), caps, UTC) is None
    assert await store.claim(claim("msg_2", claimed_at=NOW + HOUR), caps, UTC) is None
    assert await store.claim(claim("msg_3", claimed_at=NOW + DAY), caps, UTC) == full_week
    assert await store.claim(claim("msg_4", "8"), caps, UTC) is None  # another contact's places
    assert await store.claims_of("7", NOW) == [claim("msg_1"), claim("msg_2", claimed_at=NOW + HOUR)]
    assert await store.claims_of("7", NOW + HOUR) == [claim("msg_2", claimed_at=NOW + HOUR)]


@both
async def test_a_delivery_that_asks_again_keeps_its_place_and_counts_once(store: Store, another: Store) -> None:
    caps = [cap(1, "day")]
    asked = (one.claim(claim("msg_1"), caps, UTC) for one in (store, another) for _ in range(5))
    assert await asyncio.gather(*asked) == [None] * 10
    # Also when it is full, and when its own claim is older than the cap looks back to.
    assert await store.claim(claim("msg_2", claimed_at=NOW + 40 * DAY), caps, UTC) is None
    assert await store.claim(claim("msg_1", claimed_at=NOW + 40 * DAY), caps, UTC) is None
    assert await store.claims_of("7", NOW) == [claim("msg_1"), claim("msg_2", claimed_at=NOW + 40 * DAY)]


@both
async def test_a_place_is_given_back_unless_something_may_have_arrived(store: Store) -> None:
    caps = [cap(1, "7d")]
    await store.claim(claim("msg_1"), caps, UTC)
    await store.release("msg_1")
    await store.release("msg_1")
    assert await store.claim(claim("msg_2"), caps, UTC) is None
    await store.keep("msg_2")
    await store.release("msg_2")
    assert await store.claims_of("7", NOW) == [claim("msg_2", permanent=True)]
    assert await store.claim(claim("msg_1"), caps, UTC) is not None
    await store.keep("msg_3")  # has none
    assert await ids(store) == ["msg_2"]
    await store.keep("msg_1")  # it was in flight
    assert await ids(store) == ["msg_1", "msg_2"]


@both
@pytest.mark.parametrize("outcome", ["delivered", "refused_answer"])
async def test_a_place_given_back_counts_once_the_log_says_that_the_message_arrived(store: Store, outcome: str) -> None:
    """The contact left, or an operator skipped the step, while an attempt was in flight."""
    caps = [cap(1, "7d")]
    await store.claim(claim("msg_1"), caps, UTC)
    await store.release("msg_1")
    await store.record([FAILED])
    assert await ids(store) == []
    await store.record([replace(DELIVERED, outcome=outcome)])
    assert await ids(store) == ["msg_1"]
    assert await store.claim(claim("msg_2", claimed_at=NOW + HOUR), caps, UTC) is not None


@both
async def test_a_delivery_that_gave_its_place_back_needs_a_new_one(store: Store) -> None:
    """Its journey goes on: the workflow task in which the contact left was refused."""
    caps = [cap(1, "7d")]
    await store.claim(claim("msg_1"), caps, UTC)
    await store.release("msg_1")
    assert await store.claim(claim("msg_1", claimed_at=NOW + HOUR), caps, UTC) is None
    assert await store.claims_of("7", NOW) == [claim("msg_1", claimed_at=NOW + HOUR)]
    await store.release("msg_1")
    assert await store.claim(claim("msg_2", claimed_at=NOW + 2 * HOUR), caps, UTC) is None
    assert await store.claim(claim("msg_1", claimed_at=NOW + 3 * HOUR), caps, UTC) is not None


async def test_where_no_cap_applies_the_store_is_not_asked() -> None:
    claims = Claims(cast("Any", None))
    assert await claims.claim(claim("msg_1"), [], UTC) is None
    assert await claims.claim(claim("msg_1"), [cap(1, "7d", "email", "wax")], UTC) is None


@both
async def test_what_no_database_can_keep_counts_all_the_same(store: Store) -> None:
    odd = claim("msg\x00", "\ud800é", claimed_at=NOW.astimezone(PARIS))
    assert [await store.claim(odd, [cap(1, "day")], UTC) for _ in range(2)] == [None, None]
    assert await store.claim(replace(odd, delivery_id="msg_2"), [cap(1, "day")], UTC) is not None


@both
async def test_the_store_counts_as_the_rule_does(store: Store) -> None:
    """The statement that takes a place, and the rule that says when there is one, are two: they never disagree."""
    chance = random.Random(7)
    caps = [
        cap(1, "day", "sms", "wax"),
        cap(4, "36h"),
        cap(4, "week", "email", "webhook"),
        cap(6, "7d", "sms"),
        cap(30, "month"),
    ]
    taken: list[CapClaim] = []
    answers = Counter[str]()
    now = NOW
    for number in range(120):
        # Now and then it is another's turn, whose clock is behind.
        now += timedelta(seconds=chance.choice([-3600, 0, 60, 3600, 20_000]))
        channel, destination = chance.choice([("sms", ""), ("email", ""), ("webhook", "wax"), ("webhook", "shop")])
        wanted = claim(f"msg_{number}", channel=channel, destination=destination, claimed_at=now)
        some = chance.sample(caps, 3)
        zone = chance.choice([PARIS, ZoneInfo("Asia/Tokyo")])
        expected = full([one for one in some if one.applies_to(channel, destination)], taken, now, zone)
        assert await store.claim(wanted, some, zone) == expected
        answers[expected.per if expected else "free"] += 1
        if expected is None and any(one.applies_to(channel, destination) for one in some):
            taken.append(wanted)
    assert {"free", "day", "1d12h", "week", "7d"} <= answers.keys()
    assert await ids(store) == sorted(one.delivery_id for one in taken)


@both
async def test_of_twenty_at_once_as_many_get_a_place_as_there_are(store: Store, another: Store) -> None:
    caps = [cap(3, "7d"), cap(5, "day", "sms")]
    crowd = [claim(f"msg_{contact}_{number}", str(contact)) for number in range(20) for contact in range(3)]
    answers = await asyncio.gather(
        *((store if number % 2 else another).claim(one, caps, UTC) for number, one in enumerate(crowd))
    )
    let_in = Counter(one.contact_id for one, answer in zip(crowd, answers, strict=True) if answer is None)
    assert let_in == {str(contact): 3 for contact in range(3)}
    for contact in let_in:
        assert len(await ids(store, contact)) == 3


async def waiting(connection: psycopg.Connection) -> int:
    """How many statements wait for a contact's turn."""
    found = connection.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchall()
    return len(found)


@pytest.mark.parametrize("ended", ["cancelled", "terminated"])
async def test_who_goes_while_waiting_for_its_turn_holds_nobody_up(postgresql_url: str, postgresql: Server, ended: str):
    caps = [cap(1, "7d")]
    async with Store.open(postgresql_url) as store:
        with postgresql.connect() as connection:
            connection.execute("SELECT pg_advisory_lock(hashtextextended('7', 289581132141))")
            asked = asyncio.create_task(store.claim(claim("msg_1"), caps, UTC))
            while not await waiting(connection):
                await asyncio.sleep(0.01)
            if ended == "cancelled":
                asked.cancel()
                await asyncio.wait([asked])
                assert not await waiting(connection)
            else:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted")
        if ended == "cancelled":
            assert await ids(store) == []
            assert await store.claim(claim("msg_2"), caps, UTC) is None
        else:
            assert await asked is None  # by a new connection
        assert await store.claim(claim("msg_3"), caps, UTC) is not None
        with postgresql.connect() as connection:
            assert connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)


async def test_a_database_that_would_not_let_a_claim_see_the_others_is_refused(postgresql_url: str) -> None:
    async with Store.open(postgresql_url):
        pass
    async with Store.open(postgresql_url + "%20-cdefault_transaction_isolation%3Dserializable") as store:
        with pytest.raises(StoreFault):
            await store.claim(claim("msg_1"), [cap(1, "7d")], UTC)
