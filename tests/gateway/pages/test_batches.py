"""The pages of batch calls and of audiences at other systems."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from tests.gateway.pages.conftest import Site
from tests.runtime.store.test_batches import BATCH, NOW, item
from tests.runtime.store.test_memberships import VIP, membership

ONE = "/audiences/one?destination=meta&audience=vip"


async def test_a_batch_call_lists_its_contacts_by_outcome(site: Site):
    await site.sign_in("read")
    assert "No contact has joined a batch call yet." in (await site.get("/batches")).text()
    await site.store.open_batch(replace(BATCH, id="b1"))
    for number in range(1, 53):
        await site.store.join_batch(item(number, "b1"))
    await site.store.freeze_batch("b1", NOW)
    await site.store.record_item_outcomes("b1", "refused", NOW, positions=[2], reason="<unknown>", status=207)
    (row,) = (await site.get("/batches")).rows("Batch calls, newest first")
    assert [row[0], row[1], row[6], row[7]] == ["b1", "sending", "52", "pending 51 refused 1"]
    assert await site.column("/batches/b1", "Its contacts") == [f"c{number}" for number in range(1, 53)]
    assert (await site.get("/batches/b1")).values("tbody td a", "href")[0] == "/journeys/sync/c1"
    (refused,) = (await site.get("/batches/b1?outcome=refused")).rows("Its contacts")
    assert refused[:4] == ["c2", "refused", "207", "<unknown>"]
    await site.get("/batches/b1?outcome=x", 422)
    await site.sign_in("read", scenarios=["other"])
    assert (await site.get("/batches/b1", 404)).text("h1")


async def test_an_audience_lists_waiting_and_refused_changes_and_is_sent_again(site: Site):
    key = await site.sign_in()
    assert "No scenario has changed an audience yet." in (await site.get("/audiences")).text()
    for contact in ("a", "b", "c"):
        await site.store.record_membership(membership(contact))
    await site.store.freeze_audience_batch(*VIP, "1", 2)
    await site.store.refuse_members("add-1", ["id-b"], "bad_hash")
    await site.store.settle_audience_batch("add-1")
    await site.store.record_audience_trouble(*VIP, "the terms are not <accepted>", NOW)
    (row,) = (await site.get("/audiences")).rows("Audiences")
    assert (row[:6], row[7]) == (["vip", "held", "meta", "1", "1", "1"], "the terms are not <accepted>")
    assert [row[:2] for row in (await site.get(ONE)).rows("Changes")] == [["c", "add"]]
    (refused,) = (await site.get(f"{ONE}&changes=refused")).rows("Changes")
    assert [refused[0], refused[1], refused[3]] == ["b", "add", "bad_hash"]
    form = {"operation": "retry", "destination": "meta", "audience": "vip", "reason": ""}
    again = await site.send("/audiences/one", form, status=422, page=ONE)
    assert again.text("#reason-retry-wrong").startswith("Give a reason")
    done = await site.send("/audiences/one", {**form, "reason": "accepted"}, page=ONE)
    assert "It is sent again." in done.text()
    assert f"key {key} has it sent again: accepted" in done.text()
    assert [row[0] for row in done.rows("Changes")] == ["b", "c"]
    for name in ("nobody", "it's"):
        await site.get(f"/audiences/one?destination=meta&audience={quote(name)}", 404)
    await site.sign_in("read", scenarios=["sale"])
    await site.get("/audiences", 403)
