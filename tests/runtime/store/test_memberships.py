"""Memberships in the store: what is frozen, settled and pruned, on either engine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from runtime.store import Store
from runtime.store.memberships import Membership
from runtime.store.retention import Pruner
from tests.runtime.store.conftest import both

NOW = datetime(2026, 3, 3, 10, tzinfo=UTC)
VIP = ("meta", "vip")


def membership(contact: str, *, minutes: int = 0, digest: str = "d", **given: Any) -> Membership:
    defaults: dict[str, Any] = {"id": f"id-{contact}", "destination": "meta", "audience": "vip", "contact_id": contact}
    defaults |= {"wanted": True, "member": f"member-{contact}-{digest}", "email": None, "phone": None}
    return Membership(wanted_at=NOW + timedelta(minutes=minutes), digest=digest, **{**defaults, **given})


def gone(contact: str, *, minutes: int = 0) -> Membership:
    return membership(contact, minutes=minutes, digest="", wanted=False, id=f"gone-{contact}", member="")


async def sync(store: Store, batch: str) -> None:
    await store.freeze_audience_batch(*VIP, batch.partition("-")[2], 9)
    await store.settle_audience_batch(batch)


async def sent(store: Store, batch: str) -> list[str]:
    return [one.member for one in await store.audience_batch(batch)]


@both
async def test_a_change_while_a_batch_is_sent_is_a_new_difference(store: Store) -> None:
    for contact in ("a", "b", "c", "d"):
        assert await store.record_membership(membership(contact))
    assert await store.freeze_audience_batch(*VIP, "1", 3) == ("add-1", True)
    assert not await store.record_membership(gone("e"))
    assert await store.record_membership(gone("a", minutes=1))
    assert await store.record_membership(membership("b", minutes=1, digest="new"))
    assert await store.record_membership(gone("c", minutes=-1))  # an earlier decision, which comes late
    assert await store.freeze_audience_batch(*VIP, "2", 3) == ("add-1", True), "the frozen one goes first"
    assert await sent(store, "add-1") == ["member-a-d", "member-b-d", "member-c-d"]
    await store.settle_audience_batch("add-1")
    assert await store.freeze_audience_batch(*VIP, "2", 3) == ("remove-2", True)
    assert await sent(store, "remove-2") == ["member-a-d", "member-b-d"]
    await store.settle_audience_batch("remove-2")
    assert await store.freeze_audience_batch(*VIP, "3", 3) == ("add-3", False)
    assert await sent(store, "add-3") == ["member-b-new", "member-d-d"]
    await store.settle_audience_batch("add-3")
    assert await store.freeze_audience_batch(*VIP, "4", 3) == ("", False)
    await store.record_audience_sync(*VIP, NOW, 2)
    [counts] = await store.audience_counts()
    assert (counts.members, counts.waiting, counts.unnamed, counts.synced_at) == (3, 0, 2, NOW)


@both
async def test_an_addition_that_was_decided_before_a_removal_and_arrives_after_it_does_nothing(store: Store) -> None:
    await store.record_membership(membership("a"))
    await sync(store, "add-1")
    for contact in ("a", "b"):
        await store.record_membership(gone(contact, minutes=2))
    await sync(store, "remove-2")
    for contact in ("a", "b"):
        assert not await store.record_membership(membership(contact, minutes=1))
    assert await store.unsynced_audiences() == []
    assert (await store.count_rows_of("a"))["audience_memberships"] == 1
    await Pruner(store).run({}, NOW + timedelta(days=93))
    assert (await store.count_rows_of("a"))["audience_memberships"] == 0
    await store.record_membership(gone("b"))
    assert await store.record_membership(membership("b", minutes=3))


@both
async def test_what_another_member_has_too_is_not_removed(store: Store) -> None:
    for contact in ("a", "b", "c"):
        await store.record_membership(membership(contact, email="x", phone=contact))
    await store.record_membership(replace(membership("d", email="x"), audience="other"))
    await sync(store, "add-1")
    for contact in ("a", "b"):
        await store.record_membership(gone(contact, minutes=1))
    await store.freeze_audience_batch(*VIP, "2", 1)
    assert [(one.sent_email, one.sent_phone) for one in await store.audience_batch("remove-2")] == [(None, "a")]
    await store.settle_audience_batch("remove-2")

    await store.record_membership(gone("c", minutes=1))
    await store.freeze_audience_batch(*VIP, "3", 1)
    assert [(one.sent_email, one.sent_phone) for one in await store.audience_batch("remove-3")] == [("x", "b")]
    assert not await store.record_membership(membership("c", minutes=2, email="x", phone="c"))  # wanted again
    await store.settle_audience_batch("remove-3")
    assert await store.freeze_audience_batch(*VIP, "4", 9) == ("remove-4", False), "its address was removed meanwhile"
    await store.settle_audience_batch("remove-4")
    assert await store.freeze_audience_batch(*VIP, "5", 9) == ("add-5", False)
    assert await sent(store, "add-5") == ["member-c-d"]


@both
async def test_nothing_stays_of_a_member_who_shares_what_a_removal_takes(store: Store) -> None:
    await store.record_membership(membership("a", email="x"))
    for contact in ("b", "c"):
        await store.record_membership(membership(contact, email="y", phone=contact))
    await sync(store, "add-1")
    for contact in ("a", "c"):
        await store.record_membership(gone(contact, minutes=1))
    await store.freeze_audience_batch(*VIP, "2", 9)
    for contact in ("b", "c"):  # while it is sent, they take over the address that it removes
        await store.record_membership(membership(contact, minutes=2, digest="new", email="x", phone=contact))
    await store.settle_audience_batch("remove-2")
    await store.record_membership(gone("b", minutes=3))
    await store.freeze_audience_batch(*VIP, "3", 9)
    assert [(one.sent_email, one.sent_phone) for one in await store.audience_batch("remove-3")] == [("y", "b")]


async def test_a_refused_member_is_forgotten_after_a_quarter(store: Store) -> None:
    for contact in ("a", "b"):
        await store.record_membership(membership(contact))
    await store.freeze_audience_batch(*VIP, "1", 9)
    await store.refuse_members("add-1", ["id-a"], "unknown")
    await store.settle_audience_batch("add-1")
    for days, refused in ((91, {"unknown": 1}), (93, {})):
        await Pruner(store).run({}, NOW + timedelta(days=days))
        assert await store.audience_refusals(*VIP) == refused
    [counts] = await store.audience_counts()
    assert counts.members == 1
