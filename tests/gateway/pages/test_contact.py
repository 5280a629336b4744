"""One timeline of a contact, over all its journeys; the form that finds it, and the one that erases it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import WorkflowExecution

from gateway.pages.rendering import to_contact
from gateway.why.of_contact import NotLetIn
from gateway.why.story import refused, told
from gateway.why.why import CapPlaces, Question, WhyView
from runtime.api_keys import Scope
from runtime.encryption.keyring import Keyring
from tests.gateway.journey import ENTRY, HELD, START
from tests.gateway.pages.conftest import Site
from tests.gateway.pages.test_journeys import admit
from tests.gateway.search import Search
from tests.gateway.service.test_stats import publish

PARIS = ZoneInfo("Europe/Paris")
STORIES = (
    refused(NotLetIn("b/7", "r3", "b", START.replace(hour=9), "the entry rule of b does not hold: <b>x</b>"), None),
    told(HELD, ENTRY),
)
WHY = WhyView(
    contact="7",
    step=None,
    answer="",
    entries=[*STORIES],
    caps=[CapPlaces(cap="week", taken=2, at_most=2, per="7d", free_at=START.replace(day=30))],
    zone=PARIS,
)


async def test_a_key_of_some_scenarios_sees_these_alone(site: Site):
    site.client.contacts["7"] = WHY
    await site.sign_in("read", scenarios=["b"])
    shown = await site.get("/contacts/7")
    assert "a/7/K1" not in shown.html
    assert "week" not in shown.html
    await site.sign_in("read", scenarios=["a"])
    shown = await site.get("/contacts/7")
    assert [row[0] for row in shown.rows("Its entries, newest first")] == ["a/7/K1"]
    await site.sign_in("read", scenarios=["c"])
    hidden = await site.get("/contacts/7", 404)
    assert hidden.text() == (await site.get("/contacts/8", 404)).text().replace("'8'", "'7'")


async def test_the_question_why_is_passed_on_and_a_range_may_be_empty(reader: Site):
    reader.client.contacts["7"] = WHY.model_copy(update={"answer": "No: the cap was full.", "next": "abc"})
    await publish(reader.store)
    shown = await reader.get("/contacts/7?why=a/hook&since=all")
    assert (reader.client.asked["question"], reader.client.asked["since"]) == (Question("hook", "a"), None)
    assert shown.text("[role=status]") == "No: the cap was full."
    assert "a/hook" in shown.values("#why option", "value")
    assert shown.values(".older a", "href") == ["/contacts/7?since=all&after=abc"]
    shown = await reader.get("/contacts/7?why=sale/")
    assert "has no entries in sale" in shown.text("[role=status]")
    assert (datetime.now(UTC) - reader.client.asked["since"]).days == 30
    shown = await reader.get("/contacts/7?since=soon", 422)
    assert "neither a time nor a duration" in shown.text("#since-wrong")
    assert (shown.texts("#since option[selected]"), "a/7/K1" in shown.html) == (["the last 30 days"], True)


async def test_the_form_finds_journeys_and_contacts(reader: Site):
    await admit(reader.store, "a/7/K 1", "7")
    for asked, found in (
        ("a/7/K 1", "/journeys/a/7/K%201"),
        ("7", "/contacts/7"),
        (" x/y?&z ", "/contacts/x%2Fy%3F%26z"),
        ("", "/"),
    ):
        answer = await reader.browser.get("/find", params={"id": asked})
        assert (answer.status_code, answer.headers["location"]) == (303, found)
    for name in ("x/y?&z", ".."):
        reader.client.contacts[name] = WHY
        assert (await reader.get(to_contact(name))).text("h1") == f"Contact {name}"
    await reader.get("/contacts", 404)


WHO = "7/\u202eé"
FORM = {"contact": WHO, "again": "7/<U+202E>é", "reason": "request 4711"}


async def _no_runs(*_: Any) -> AsyncIterator[WorkflowExecution]:
    for run in ():
        yield run


async def test_a_contact_is_erased_once_its_id_is_typed_again(
    site: Site, temporal: Search, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gateway.service.erasures.find_runs", _no_runs)
    site.store.sealing = Keyring(site.store, None)
    await admit(site.store, "a/7", WHO)
    await site.sign_in("read", "erase")
    asked = "/erase?contact=7%2F%E2%80%AE%C3%A9"
    form = await site.get(asked)
    assert ["Rows of the store: entries", "1"] in form.rows("Would be erased")
    refused = await site.send("/erase", {**FORM, "again": "7/e"}, 422, page=asked)
    assert refused.text("[role=alert]") == "Type the contact's id exactly as it is shown above."
    assert refused.values("#reason", "value") == ["request 4711"]
    assert temporal.started == {}
    report = await site.send("/erase", FORM, page=asked)
    (name,) = temporal.started
    assert report.text("h1") == f"Erasure {name.removeprefix('erasure-')}"
    assert "request 4711" in report.text(".facts")
    assert "é" not in report.html
    assert [row[4] for row in (await site.get("/erasures")).rows("Erasures, newest first")] == ["request 4711"]


async def test_only_keys_for_all_scenarios_with_the_scope_erase(site: Site):
    limited: list[tuple[Scope, list[str] | None]] = [("operate", None), ("erase", ["a"])]
    for scope, scenarios in limited:
        await site.sign_in("read", scope, scenarios=scenarios)
        for path in ("/erase?contact=7", "/erasures", "/erasures/x"):
            await site.get(path, 403)
        page = await site.get("/deliveries")
        answer = await site.browser.post(
            "/erase", data={**FORM, "token": page.token}, headers={"origin": str(site.browser.base_url)}
        )
        assert answer.status_code == 403
