"""The page of held journeys, how they are operated from there, and the pages of operations on many journeys."""

from datetime import UTC, datetime
from typing import Any

import pytest

from runtime.store import OperationItem, StoredOperation
from service.held import GROUPS, HeldGroupKey
from tests.factories import admission_request, attempt
from tests.gateway.pages.conftest import SITE, Site
from tests.search import Search

AT = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)


async def begin(site: Site, name: str = "op1", *items: OperationItem, **more: Any) -> None:
    which = {"scenario": "winback", "step": "wax", "destination": "hooks.example.com", "reason": "permanent"}
    request = {"which": which, "rate": 5.0, "limit": None, "dry_run": False, "everybody": False, "more": {}}
    request |= more.pop("request", {})
    given: dict[str, Any] = {"verb": "retry", "operator": "key a", "reason": "wax <is> back", "created_at": AT}
    await site.store.add_operation(StoredOperation(id=name, request=request, **{**given, **more}))
    await site.store.add_items(name, items)


def item(number: int, outcome: str | None = None, reason: str | None = None) -> OperationItem:
    at = AT if outcome else None
    return OperationItem(
        number=number, workflow_id=f"winback/{number}", step="wax", outcome=outcome, reason=reason, answered_at=at
    )


async def test_what_became_of_each_journey_is_told_with_progress(operator: Site, temporal: Search):
    temporal.add("winback/2", ScenarioName="winback", StepId="wax", JourneyState="retrying")
    for number, outcome, reason in ((3, "finished", "1 of 2 deliveries failed"), (4, "exited", "event order.returned")):
        await operator.store.admit(admission_request(str(number), "winback", run_id="r"))
        await operator.store.depart(f"winback/{number}", "r", outcome, reason, AT)
    await begin(operator, "op1", *(item(number, "accepted") for number in (2, 3, 4)), item(7, "refused", "no"), item(1))
    page = await operator.get("/operations/op1")
    assert [row[3] for row in page.rows("Its journeys")] == [
        *("over", "retrying at wax", "finished (1 of 2 deliveries failed)", "exited (event order.returned)", "over")
    ]
    assert (page.values("progress", "value"), page.values("#operation", "hx-trigger")) == (["4"], ["every 2s"])
    refused = await operator.get("/operations/op1?outcome=refused")
    assert [row[0] for row in refused.rows("Its journeys")] == ["winback/7"]
    await operator.get("/operations/op1?outcome=x", status=422)


async def test_a_mistake_in_a_filter_of_the_log_stands_at_its_field(reader: Site):
    wrong = await reader.get("/operations?since=soon&operator=ann", 422)
    assert (wrong.values("[aria-invalid]", "name"), wrong.values("#operator", "value")) == (["since"], ["ann"])


async def test_pages_of_its_journeys_leave_none_out(reader: Site):
    await begin(reader)
    page = await reader.get("/operations/op1")
    assert "Its journeys are being searched for." in page.text()
    assert "Stop…" not in page.text()
    await reader.store.add_items("op1", [item(number, "accepted") for number in range(120)])
    read = await reader.column("/operations/op1", "Its journeys")
    assert read == [f"winback/{number}" for number in range(120)]
    await reader.get("/operations/op1?after=winback/3&number=x", status=422)


async def test_after_a_trial_all_are_one_step_away(operator: Site):
    await begin(operator, "op1", item(0, "accepted"), request={"limit": 3})
    await operator.store.end_operation("op1", "finished", AT)
    page = await operator.get("/operations/op1")
    assert "This was a trial." in page.text()
    (rest,) = page.values("p.note a", "href")
    assert (await operator.get(rest)).text("h1") == "Retry the step"


async def test_one_is_stopped_for_a_reason(site: Site, temporal: Search):
    await begin(site)
    name = await site.sign_in()
    (address,) = (await site.get("/operations/op1")).values(".actions a", "href")
    await site.send(address, {"reason": ""}, status=422)
    assert temporal.signals == []
    await site.send(address, {"reason": "wax is down again"})
    assert temporal.signals == [("operation:op1", "stop", {"operator": f"key {name}", "reason": "wax is down again"})]
    await site.store.end_operation("op1", "stopped", AT, stopped_by="key a", stop_reason="down <again>")
    over = await site.get("/operations/op1")
    assert "Stopped by key a: down <again>" in over.text()
    assert "It has ended" in (await site.get(address)).text()


async def test_exactly_what_was_paused_is_resumed(site: Site):
    await begin(site, "op1", item(0, "accepted"), verb="pause", request={"which": {"destination": "wax"}})
    name = await site.sign_in()
    assert "Resume these…" not in (await site.get("/operations/op1")).text()
    await site.store.end_operation("op1", "finished", AT)
    (address,) = (await site.get("/operations/op1")).values(".actions a", "href")
    await site.send(address, {"reason": "wax is back"})
    (begun,) = await site.store.stored_operations(is_open=True)
    assert (begun.verb, begun.operator, begun.reason) == ("resume", f"key {name}", "wax is back")
    assert begun.request["which"] == {"operation": "op1"}


WAX = HeldGroupKey("winback", "wax", "hooks.example.com", "permanent")
FORM = {**WAX._asdict(), "operation": "retry", "rate": "5", "reason": "wax is back", "most": ""}


@pytest.fixture(autouse=True)
async def published(site: Site) -> None:
    await site.store.publish("winback", {}, {}, "digest")


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


async def test_what_may_have_been_delivered_is_retried_only_if_confirmed(site: Site, temporal: Search):
    unknown = WAX._replace(cause="unknown")
    temporal.hold(WAX, 2)
    temporal.hold(unknown, 3)
    await site.store.record([attempt(workflow_id="winback/3", step="wax")])
    await site.sign_in()
    said = "3 may have been delivered: the log of attempts says delivered for 1, failed for 0, nothing for 2."
    at, form = f"/held/operation?destination={WAX.destination}&operation=", {**FORM, "step": "", "cause": ""}
    look = await site.get(f"{at}retry")
    assert said in look.text()
    assert "Would go to 2 of 5 Scenario" in look.text()
    assert "Retry 2 journeys" in look.texts("form button")
    assert "Would go to 1 of 5 Scenario" in (await site.get(f"{at}retry&most=1")).text()
    assert "Would go to 5 Scenario" in (await site.get(f"{at}skip")).text()
    assert "Would go to 3 Scenario" in (await site.get(f"{at}retry&scenario=winback&step=wax&cause=unknown")).text()
    assert look.values("#unknown", "value") == ["yes"]
    for more, expected in (({}, False), ({"unknown": "yes"}, True)):
        await site.send("/held/operation", {**form, "scenario": "", **more}, page="/held")
        assert (await site.store.stored_operations())[0].request["unknown"] is expected
    assert (await site.get(f"{at}skip")).values("#unknown", "value") == []
    assert (await site.get(f"{at}retry&scenario=winback&step=wax&cause=permanent")).values("#unknown", "value") == []
    # A group of nothing else needs the confirmation.
    begun = len(await site.store.stored_operations())
    alone = {**FORM, "cause": "unknown"}
    wrong = await site.send("/held/operation", alone, status=422, page="/held")
    assert wrong.values("[aria-invalid]", "name") == ["unknown"]
    assert len(await site.store.stored_operations()) == begun
    await site.send("/held/operation", {**alone, "unknown": "yes"}, page="/held")
    assert (await site.store.stored_operations())[0].request["unknown"] is True


async def test_what_makes_no_sense_begins_nothing(operator: Site):
    page = await operator.get("/held/operation?operation=skip&scenario=winback&step=wax")
    assert "no journey is held there now" in page.text()
    assert page.values("main form", "action") == []
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
