"""The pages of subscriptions to outgoing events."""

from __future__ import annotations

from tests.gateway.pages.conftest import Site
from tests.gateway.service.test_outgoing import held


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
