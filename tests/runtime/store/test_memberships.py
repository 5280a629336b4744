"""Memberships in the store: what is frozen, settled and pruned, on either engine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from runtime.store import Store
from runtime.store.memberships import Membership
from runtime.store.retention import Pruner
from tests.runtime.store.conftest import both

NOW = datetime(2026, 3, 3, 10, tzinfo=UTC)
VIP = ("meta", "vip")


def membership(contact: str, *, minutes: int = 0, digest: str = "d") -> Membership:
    return Membership(
        id=f"id-{contact}",
        destination="meta",
        audience="vip",
        contact_id=contact,
        wanted=True,
        wanted_at=NOW + timedelta(minutes=minutes),
        member=f"member-{contact}-{digest}",
        digest=digest,
    )


async def sent(store: Store, batch: str) -> list[str]:
    return [one.member for one in await store.audience_batch(batch)]


@both
async def test_a_change_while_a_batch_is_sent_is_a_new_difference(store: Store) -> None:
    for contact in ("a", "b", "c", "d"):
        assert await store.want_member(membership(contact))
    assert await store.freeze_audience_batch(*VIP, "1", 3) == ("add-1", True)
    assert not await store.want_no_member(*VIP, "e", NOW)
    assert await store.want_no_member(*VIP, "a", NOW + timedelta(minutes=1))
    assert await store.want_member(membership("b", minutes=1, digest="new"))
    assert await store.want_no_member(*VIP, "c", NOW - timedelta(minutes=1))  # an earlier decision, which comes late
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


async def test_a_refused_member_is_forgotten_after_a_quarter(store: Store) -> None:
    for contact in ("a", "b"):
        await store.want_member(membership(contact))
    await store.freeze_audience_batch(*VIP, "1", 9)
    await store.refuse_members("add-1", ["id-a"], "unknown")
    await store.settle_audience_batch("add-1")
    for days, refused in ((91, {"unknown": 1}), (93, {})):
        await Pruner(store).run({}, NOW + timedelta(days=days))
        assert await store.audience_refusals(*VIP) == refused
    [counts] = await store.audience_counts()
    assert counts.members == 1
