"""The pages of campaigns."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from runtime.store.campaigns import CampaignItem, StoredCampaign
from scenario.model.document import document
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan
from tests.factories import present
from tests.gateway.pages.conftest import Document, Site
from tests.gateway.service.test_campaigns import SURVEY

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


async def test_a_campaign_is_shown_with_its_sums_and_lines(reader: Site):
    assert "No campaign was started yet" in (await reader.get("/campaigns")).text()
    await begin(reader, paused_by="bob", pause_reason="look <closely>")
    listed = await reader.get("/campaigns")
    assert listed.values("tbody th a", "href") == ["/campaigns/sale"]
    page = await reader.get("/campaigns/sale")
    assert (page.text("h1"), page.text(".head .state")) == ("sale", "preparing")
    assert "Lines 3 Entered 1 Invalid 1 Pending 1" in page.text()
    assert "Paused by bob: look <closely>" in page.text()
    assert page.values("progress", "value") == ["2"]
    assert page.rows("Its lines") == [
        ["2", "entered", "", "offer/7/sale"],
        ["3", "invalid", "no <id>", ""],
        ["4", "pending", "", "offer/8/sale"],
    ]
    assert "Pause…" not in page.text()
    invalid = await reader.get("/campaigns/sale?outcome=invalid")
    assert [row[0] for row in invalid.rows("Its lines")] == ["3"]
    await reader.get("/campaigns/sale?outcome=x", status=422)


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


async def test_one_that_is_ready_shows_its_survey_and_is_started(site: Site, changes: list[Any]):
    counts = {"lines": 10, "entries": 9, "invalid": 1}
    survey = SURVEY.model_copy(update={**counts, "unknown_columns": ("contact.emial",)})
    await begin(site, loaded_at=AT, survey=survey.model_dump(mode="json"))
    name = await site.sign_in()
    page = await site.get("/campaigns/sale")
    assert (page.text(".head .state"), page.values(".actions a", "href")[0]) == ("ready", "/campaigns/sale/start")
    assert "9 of 10 lines can enter. Invalid: 1; repeated contacts: 0. It takes about 2s" in page.text()
    assert "so kept unchanged: contact.emial" in page.text()
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
