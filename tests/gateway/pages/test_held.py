"""The page of held journeys, and how they are operated from there."""

import pytest

from gateway.service.held import GROUPS, HeldGroupKey
from tests.gateway.pages.conftest import SITE, Site
from tests.gateway.search import Search

WAX = HeldGroupKey("winback", "wax", "hooks.example.com", "permanent")
FORM = {**WAX._asdict(), "operation": "retry", "rate": "5", "reason": "wax is back", "most": ""}


@pytest.fixture(autouse=True)
async def published(site: Site) -> None:
    await site.store.publish("winback", {}, {}, "digest")


async def test_what_is_held_is_told_in_groups(operator: Site, temporal: Search):
    temporal.hold(WAX, 4)
    temporal.hold(HeldGroupKey("reward", "<b>", None, None), 1, since=None)
    page = await operator.get("/held")
    assert "5 journeys are held, in 2 groups." in page.text()
    first, second = page.texts("section.group")
    assert first.startswith(
        "winback · wax → hooks.example.com Held 4 Because the receiver refused it permanently (permanent)"
    )
    assert "Since Tue 2026-03-31 08:00 UTC" in first
    assert "The newest: since 2026-03-31T08:00:03+00:00, winback/3" in first
    assert first.endswith("Retry three Retry all… Skip all… End all…")
    assert second.startswith("reward · <b> Held 1 Because it failed")
    assert "the reason is unreadable" in second
    assert second.endswith("Retry it… Skip it… End it…")


async def test_what_is_a_sample_is_said_to_be_one(reader: Site, temporal: Search):
    temporal.hold(WAX, 5000)
    for number in range(GROUPS + 2):
        temporal.hold(WAX._replace(step=f"step-{number}"))
    page = await reader.get("/held")
    said = f"5,{GROUPS + 2:03} journeys are held, in {GROUPS} groups; 3 of them in groups not shown"
    assert said in page.text()
    listed = temporal.listed
    assert "Held 5,000" in page.text("section.group")
    assert "Oldest of the" in page.text("section.group")
    await reader.get("/held")
    assert temporal.listed == listed  # remembered
    assert listed < 500


async def test_the_groups_that_a_number_elsewhere_counts(site: Site, temporal: Search):
    temporal.hold(WAX, 4)
    temporal.hold(WAX._replace(step="mail", destination="smtp"), 2)
    temporal.hold(WAX._replace(scenario="reward"), 1)
    await site.sign_in("read")
    for asked, said, groups in (
        ("scenario=winback", "6 journeys are held, in 2 groups.", 2),
        ("scenario=winback&step=mail", "2 journeys are held, in 1 group.", 1),
        ("destination=hooks.example.com", "5 journeys are held, in 2 groups.", 2),
        ("scenario=%3Cb%3E", "No such journey is held.", 0),
    ):
        page = await site.get(f"/held?{asked}")
        assert said in page.text()
        assert len(page.texts("section.group")) == groups
        assert page.values("main p a", "href")[0] == "/held"
    await site.sign_in("read", scenarios=["reward"])
    await site.get("/held?scenario=winback", status=403)


async def test_who_may_only_look_is_told_so(site: Site, temporal: Search):
    temporal.hold(WAX, 2)
    temporal.hold(WAX._replace(scenario="secret"), 3)
    await site.sign_in("read", scenarios=["winback"])
    page = await site.get("/held")
    assert ("secret" in page.html, page.texts("section.group h2")) == (False, ["winback · wax → hooks.example.com"])
    assert "Your key can only read" in page.text()
    assert page.texts(".actions") == []
    look = await site.get("/held/operation?operation=leave&scenario=winback&step=wax&destination=hooks.example.com")
    assert look.values("main form", "action") == []


async def test_three_are_tried_after_a_look_at_them(site: Site, temporal: Search):
    temporal.hold(WAX, 20)
    name = await site.sign_in()
    (trial, *_) = (await site.get("/held")).values(".actions a", "href")
    look = await site.get(trial)
    assert "Would go to 3 of 20" in look.text()
    assert [row[0] for row in look.rows("Some of them")] == ["winback/19", "winback/18", "winback/17"]
    assert temporal.started == {}
    inputs = [look.values("form[action='/held/operation'] input", what) for what in ("name", "value")]
    form = {**dict(zip(*inputs, strict=True)), "version": "newest", "reason": "wax is back"}
    begun = await site.send("/held/operation", form, page=trial.removeprefix(SITE))
    assert begun.text("h1") == "Retry up to 3 journeys"
    (stored,) = await site.store.stored_operations()
    assert (stored.verb, stored.operator, stored.reason) == ("retry", f"key {name}", "wax is back")
    which = {"scenario": "winback", "step": "wax", "destination": "hooks.example.com", "reason": "permanent"}
    assert stored.request["which"] == which
    assert (stored.request["limit"], stored.request["more"]) == (3, {"version": "newest"})
    assert list(temporal.started) == [f"operation:{stored.id}"]


async def test_all_are_operated_at_a_rate_by_the_note_of_the_key(site: Site, temporal: Search):
    temporal.hold(WAX, 20)
    key = await site.sign_in("read", "operate", note=" ops\nbob ")
    for operation in ("retry", "skip", "leave"):
        await site.send("/held/operation", {**FORM, "operation": operation, "sure": "yes"}, page="/held")
        stored = (await site.store.stored_operations())[0]
        assert (stored.verb, stored.request["rate"], stored.request["limit"]) == (operation, 5.0, None)
        assert stored.operator == f"ops bob (key {key})"


async def test_what_makes_no_sense_begins_nothing(operator: Site):
    page = await operator.get("/held/operation?operation=skip&scenario=winback&step=wax")
    assert "no journey is held there now" in page.text()
    assert page.values("main form", "action") == []
    assert "No journey is held." in (await operator.get("/held")).text()
    for wrong, said in (
        ({"reason": "  "}, "Give a reason"),
        ({"rate": "fast"}, "The rate is a number"),
        ({"rate": "0"}, "The rate must be from 0.01"),
        ({"step": "", "destination": ""}, "No held journeys are selected"),
        ({"operation": "leave"}, "Confirm that these journeys are to end"),
        ({"operation": "migrate"}, "There is no such operation"),
    ):
        status = 404 if wrong.get("operation") == "migrate" else 422
        page = await operator.send("/held/operation", {**FORM, **wrong}, status=status, page="/held")
        assert page.text("[role=alert]").startswith(said)
        assert await operator.store.stored_operations() == []


async def test_all_that_is_held_at_a_destination_is_operated_at_once(site: Site, temporal: Search):
    temporal.hold(WAX, 4)
    temporal.hold(WAX._replace(scenario="reward", cause="exhausted"), 3)
    temporal.hold(WAX._replace(destination="crm"), 2)
    await site.sign_in()
    page = await site.get("/held")
    (whole, *_) = page.texts("section.card")
    assert whole.startswith("All at hooks.example.com : 7 Retry three Retry all…")
    (trial, *_) = page.values(".actions a", "href")
    look = await site.get(trial)
    assert "Would go to 3 of 7 Scenario all Destination hooks.example.com Because of any cause" in look.text()
    form = {"operation": "retry", "destination": WAX.destination or "", "most": "3", "reason": "back", "rate": "5"}
    await site.send("/held/operation", form, page=trial)
    (stored,) = await site.store.stored_operations()
    assert (stored.request["which"], stored.request["limit"]) == ({"destination": "hooks.example.com"}, 3)
    await site.store.end_operation(stored.id, "finished", stored.created_at)
    over = await site.get(f"/operations/{stored.id}")
    assert over.values(".note a", "href") == []  # no journey has accepted
    await site.sign_in(scenarios=["winback"])
    mine = await site.get("/held?destination=hooks.example.com")
    assert "All at" not in mine.text()
    await site.get(trial, status=403)
