"""The pages of batch calls, of audiences at other systems, and of outgoing events."""

from dataclasses import replace
from urllib.parse import quote

from tests.gateway.pages.conftest import Site
from tests.gateway.service.test_outgoing import held
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


async def test_held_events_are_shown_skipped_and_retried_with_a_reason_on_record(site: Site):
    key = await site.sign_in()
    assert "No event has been sent yet." in (await site.get("/outgoing")).text()
    first, second = await held(site.store, "7", "8")
    (row,) = (await site.get("/outgoing")).rows("Subscriptions")
    assert (row[:6], row[7]) == (["crm", "held", "2", "0", "0", "0"], "crm answered 422")
    shown = await site.get("/outgoing/crm")
    assert [row[:5] for row in shown.rows("Events that were not accepted")] == [
        [f"journey.entered {one}", "held", f"welcome/{contact}", "1", "crm answered 422"]
        for one, contact in ((first, "7"), (second, "8"))
    ]
    skip = f"/outgoing/crm/skip?event={first}"
    asked = await site.get(skip)
    assert [row[1] for row in asked.rows("These")] == ["welcome/7"]
    form = {"event": first, "reason": "it is a test"}
    unsure = await site.send("/outgoing/crm/skip", form, status=422, page=skip)
    assert (unsure.values("#reason", "value"), len(unsure.rows("These"))) == (["it is a test"], 1)
    done = await site.send("/outgoing/crm/skip", {**form, "sure": "yes"}, page=skip)
    assert done.text("h1") == "Skip outgoing events"
    assert all(one in done.text() for one in ("Events 1 ", f"By key {key}", f"events {first}", "it is a test"))
    late = await site.send("/outgoing/crm/skip", {**form, "sure": "yes"}, status=422, page="/outgoing/crm/forget")
    assert f"'{first}' is not a held event of crm, or no longer" in late.text()
    assert "scenario outgoing" not in late.html  # commands are for terminals
    await site.send("/outgoing/crm/retry", {"reason": "repaired"}, page="/outgoing/crm/retry")
    wrong = await site.send(
        "/outgoing/crm/replay", {"reason": "x", "after": "x"}, status=422, page="/outgoing/crm/replay"
    )
    assert wrong.text("#after-wrong").startswith("This is not a cursor")
    listed = (await site.get("/operations")).rows("Operations")
    assert [(row[0], row[1], row[4]) for row in listed] == [
        ("Retry", "finished", "1 outgoing event of subscription crm"),
        ("Skip", "finished", f"1 outgoing event of subscription crm events {first}"),
    ]
    for path in ("/outgoing/other", "/outgoing/crm/leave"):
        await site.get(path, 404)
    await site.sign_in("read")
    assert "need the scope operate" in (await site.get("/outgoing/crm")).text()
    await site.sign_in()
    forget = "/outgoing/crm/forget"
    gone = await site.send(forget, {"reason": "it was removed", "sure": "yes"}, page=forget)
    assert gone.values("main p.actions a", "href") == ["/outgoing"]
    await site.sign_in("read", scenarios=["welcome"])
    await site.get("/outgoing", 403)
