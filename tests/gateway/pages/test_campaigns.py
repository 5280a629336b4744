"""The pages of campaigns, of batch calls, of audiences at other systems, and of outgoing events."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from runtime.store.campaigns import CampaignItem, StoredCampaign
from scenario.model.scenario import Scenario, document
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan
from tests.cli.test_printed import hold_audience
from tests.factories import present
from tests.gateway.pages.conftest import Document, Site
from tests.runtime.store.test_batches import BATCH, NOW, item
from tests.service.test_operations_and_campaigns import SURVEY
from tests.service.test_outgoing import held

AT = datetime(2026, 3, 31, 8, 0, tzinfo=UTC)
SALE = StoredCampaign(
    name="sale", scenario="offer", version=2, file="p.csv", digest="0123", rate=5.0, operator="ann", created_at=AT
)
OFFER = Scenario.model_validate({"scenario": "offer", "trigger": "segment", "steps": [{"sms": "a", "text": "b"}]})
PEOPLE = b"contact.id\n" + b"7\n" * 1_000_000
LINES = [
    CampaignItem(line=2, contact_id="7", journey="offer/7/sale", outcome="entered", answered_at=AT),
    CampaignItem(line=3, outcome="invalid", reason="no <id>", answered_at=AT),
    CampaignItem(line=4, contact_id="8", journey="offer/8/sale"),
]


@pytest.fixture
def changes(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, Any]]]:
    """The changes that pages ask for. No workflow carries them out."""
    asked: list[tuple[str, str, dict[str, Any]]] = []
    campaigns = site.client.services.campaigns

    async def change(_: object, name: str, change: str, **more: Any) -> None:
        asked.append((name, change, more))

    monkeypatch.setattr(campaigns, "change", change)
    return asked


async def begin(site: Site, *lines: CampaignItem, **more: Any) -> None:
    """Put a campaign on record, which has not started."""
    await site.store.add_campaign(replace(SALE, **more))
    await site.store.add_campaign_items("sale", lines or LINES)


async def test_pages_of_its_lines_leave_none_out(reader: Site):
    await begin(reader, *(CampaignItem(line=number, contact_id="7", outcome="entered") for number in range(2, 122)))
    assert await reader.column("/campaigns/sale", "Its lines") == [f"{number}" for number in range(2, 122)]


CHANGES: dict[str, dict[str, str]] = {"pause": {}, "resume": {}, "stop": {"leave": "on"}, "retune": {"rate": "2.5"}}


@pytest.mark.parametrize(("change", "form"), CHANGES.items())
async def test_one_is_changed_for_a_reason(site: Site, changes: list[Any], change: str, form: dict[str, str]):
    await begin(site, **({"paused_by": "bob"} if change == "resume" else {}))
    name = await site.sign_in()
    address = f"/campaigns/sale/{change}"
    assert address in (await site.get("/campaigns/sale")).values(".actions a", "href")
    rate = (await site.get(address)).values("input[name='rate']", "value")
    assert rate == (["5"] if change == "retune" else [])
    await site.send(address, {"reason": "", **form}, status=422)
    if rate:
        await site.send(address, {"reason": "gently", "rate": "fast"}, status=422)
    await site.send(address, {"reason": "look", **form})
    record = {"operator": f"key {name}", "reason": "look", "rate": 2.5 if rate else None, "leave": change == "stop"}
    assert changes == [("sale", change, record)]


async def test_one_that_has_ended_is_not_changed(operator: Site):
    await begin(operator)
    await operator.store.end_campaign("sale", "stopped", AT, stopped_by="bob", stop_reason="enough")
    page = await operator.get("/campaigns/sale")
    assert "Stopped by bob: enough" in page.text()
    assert page.values(".actions a", "href") == []
    assert "It has ended" in (await operator.get("/campaigns/sale/stop")).text()


async def test_a_file_is_uploaded_read_and_started(site: Site, monkeypatch: pytest.MonkeyPatch, changes: list[Any]):
    for scenario in ("offer", "winback"):
        await site.store.publish(scenario, document(OFFER), dump_plan(compile_plan(OFFER)), scenario)
    name = await site.sign_in("read", "operate", scenarios=["offer"])
    assert (await site.get("/campaigns")).values(".actions a", "href") == ["/campaigns/-/new"]
    page = await site.get("/campaigns/-/new")
    assert page.texts("option") == ["choose a scenario", "offer"]
    form = {"token": page.token, "scenario": "offer", "name": "advent", "rate": "50", "at": "2999-11-27T09:00"}
    headers = {"origin": "https://test", "sec-fetch-site": "same-origin"}

    async def send(status: int, file: bytes | None, **more: str) -> httpx.Response:
        files = {"file": ("people.csv", file)} if file is not None else {"other": ("", b"")}
        answer = await site.browser.post("/campaigns/-/new", data={**form, **more}, files=files, headers=headers)
        assert answer.status_code == status, answer.text
        return answer

    for wrong in ({"at": "soon"}, {"rate": "fast"}):
        again = Document(await send(422, PEOPLE, **wrong))
        assert again.values("[aria-invalid]", "name") == [*wrong]
        for field, typed in {**form, **wrong}.items() - form.items() | {("name", "advent")}:
            assert again.values(f"input[name={field}]", "value") == [typed]
    for wrong in ({"token": "x"}, {"scenario": "winback"}):
        await send(403, PEOPLE, **wrong)
    await send(422, None)
    began = list[str]()

    async def begin(stored: StoredCampaign) -> None:
        began.append(stored.name)

    monkeypatch.setattr(site.client.services.campaigns, "_begin", begin)
    assert (await send(303, PEOPLE)).headers["location"] == "/campaigns/advent"
    stored = present(await site.store.stored_campaign("advent"))
    assert (began, stored.operator, stored.file, stored.rate) == (["advent"], f"key {name}", "people.csv", 50.0)
    assert (stored.starts_at, stored.confirmed_at) == (datetime(2999, 11, 27, 8, 0, tzinfo=UTC), None)
    await send(303, PEOPLE, name="local", local="on")
    stored = present(await site.store.stored_campaign("local"))
    assert (stored.starts_at, stored.local_start) == (None, "2999-11-27T09:00:00")


async def test_one_that_is_ready_is_started(site: Site, changes: list[Any]):
    await begin(site, loaded_at=AT, survey=SURVEY.model_dump(mode="json"))
    name = await site.sign_in()
    await site.send("/campaigns/sale/start", {"reason": "fine"})
    assert changes == [("sale", "start", {"operator": f"key {name}", "reason": "fine", "rate": None, "leave": False})]


async def test_its_lines_are_downloaded(reader: Site):
    await begin(reader, *LINES, CampaignItem(line=5, contact_id="=1+1", outcome="refused", reason="-", answered_at=AT))
    answer = await reader.browser.get("/campaigns/sale/results.csv?outcome=invalid")
    assert answer.headers["content-disposition"] == 'attachment; filename="sale-invalid.csv"'
    assert answer.text.splitlines()[1:] == ["3,,,invalid,no <id>,2026-03-31T08:00:00Z"]
    # A spreadsheet would execute the contact's id.
    answer = await reader.browser.get("/campaigns/sale/results.csv?outcome=refused")
    assert answer.text.splitlines()[1:] == ["5,'=1+1,,refused,'-,2026-03-31T08:00:00Z"]


ONE = "/audiences/one?destination=meta&audience=vip"


async def test_a_batch_call_lists_its_contacts_by_outcome(site: Site):
    await site.sign_in("read")
    await site.store.open_batch(replace(BATCH, id="b1"))
    for number in range(1, 53):
        await site.store.join_batch(item(number, "b1"))
    await site.store.freeze_batch("b1", NOW)
    await site.store.record_item_outcomes("b1", "refused", NOW, positions=[2], reason="<unknown>", status=207)
    assert await site.column("/batches/b1", "Its contacts") == [f"c{number}" for number in range(1, 53)]
    (refused,) = (await site.get("/batches/b1?outcome=refused")).rows("Its contacts")
    assert refused[:4] == ["c2", "refused", "207", "<unknown>"]
    await site.get("/batches/b1?outcome=x", 422)
    await site.sign_in("read", scenarios=["other"])
    assert (await site.get("/batches/b1", 404)).text("h1")


async def test_an_audience_is_sent_again(site: Site):
    key = await site.sign_in()
    await hold_audience(site.store)
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


async def test_held_events_are_skipped_and_retried_with_a_reason_on_record(site: Site):
    key = await site.sign_in()
    first, _ = await held(site.store, "7", "8")
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
