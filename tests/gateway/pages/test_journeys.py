"""The list of journeys, the page of one and that of a contact: what they say, what their forms do."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from temporalio.client import WorkflowExecution
from temporalio.service import RPCStatusCode

from gateway.pages.rendering import to_contact, to_journey
from runtime.api_keys import Scope
from runtime.encryption.keyring import Keyring
from runtime.store import Store, StoreUnavailable
from service.why.story import NotLetIn, refused, told
from service.why.why import CapPlaces, Question, WhyView
from tests.factories import admission_request
from tests.gateway.pages.conftest import Site
from tests.journey import ENTRY, HELD, PROGRESS, START
from tests.search import Search
from tests.service.test_stats import publish

NOW = datetime.now(UTC)


async def admit(store: Store, journey: str, contact: str, minutes: float = 0) -> None:
    now, scenario = NOW - timedelta(minutes=minutes), journey.partition("/")[0]
    await store.admit(admission_request(contact, scenario, workflow_id=journey, run_id="r", now=now, trigger="segment"))


async def _crowd(site: Site, server: Search, many: int) -> None:
    await publish(site.store)
    for number in range(many):
        await admit(site.store, f"sale/{number}", str(number), number)
        known = {"ScenarioName": "sale", "StepId": "wait-2", "JourneyState": "waiting", "ScenarioVersion": "sale@1"}
        server.add(f"sale/{number}", **known, StartTime=NOW.isoformat())


async def test_the_newest_come_first_and_older_ones_behind(reader: Site, temporal: Search):
    await _crowd(reader, temporal, 53)
    await reader.store.depart("sale/1", "r", "finished", None, NOW)
    shown = await reader.get("/journeys")
    rows = shown.rows("Journeys")
    assert len(rows) == 50
    assert [[*row[:3], *row[5:7]] for row in rows[:2]] == [
        ["sale/0", "waiting", "wait-2", "sale@1", "0"],
        ["sale/1", "finished", "", "sale@1", "1"],
    ]
    (older,) = shown.values("a[rel=next]", "href")
    behind = await reader.get(older)
    assert [row[0] for row in behind.rows("Journeys")] == ["sale/50", "sale/51", "sale/52"]
    assert behind.values("a[rel=next]", "href") == []


async def test_pages_of_a_search_leave_none_out(reader: Site, temporal: Search):
    await _crowd(reader, temporal, 52)
    found = await reader.column("/journeys?scenario=sale&version=1&step=wait-2", "Journeys")
    assert "ScenarioVersion = 'sale@1'" in temporal.queries[-1]
    assert sorted(found) == sorted(f"sale/{number}" for number in range(52))


async def test_a_mistake_stands_at_its_field_and_all_filters_are_kept(reader: Site, temporal: Search):
    await _crowd(reader, temporal, 1)
    temporal.error = RPCStatusCode.UNAVAILABLE  # nothing is searched
    kept = "scenario=sale&version=1&state=waiting&step=wait-2&contact=7&since=2h&until=1h"
    for mistake, name, message in (
        ("sort=ended", "sort", "are listed by their start, newest first"),
        ("sort=x", "sort", "There is no such sort"),
        ("since=soon", "since", "'since' is neither a time nor a duration"),
        ("version=two", "version", "The version is a number"),
    ):
        name_kept = "&".join(pair for pair in kept.split("&") if not pair.startswith(f"{name}="))
        shown = await reader.get(f"/journeys?{name_kept}&{mistake}", 422)
        assert message in shown.text(f"#{name}-wrong")
        assert shown.values("[aria-invalid]", "id") == [name]
        fields = {"version": "1", "step": "wait-2", "contact": "7", "since": "2h", "until": "1h"}
        fields |= dict([mistake.split("=")])
        assert {one: shown.values(f"#{one}", "value")[0] for one in fields if one != "sort"} == {
            one: value for one, value in fields.items() if one != "sort"
        }
        assert shown.texts("option[selected]")[:2] == ["sale", "waiting"]
    ended = await reader.get("/journeys?state=finished&step=wait-2", 422)
    assert ended.text("#step-wrong") == "Leave the step or the state out: only running journeys are at a step."


async def test_a_key_of_some_scenarios_lists_these_alone(site: Site, temporal: Search):
    await _crowd(site, temporal, 2)
    await admit(site.store, "other/1", "1")
    await site.sign_in("read", scenarios=["sale"])
    shown = await site.get("/journeys")
    assert [row[0] for row in shown.rows("Journeys")] == ["sale/0", "sale/1"]
    assert shown.texts("#scenario option") == ["sale"]
    await site.get("/journeys?scenario=other", 403)
    await site.sign_in("read", scenarios=["none"])
    assert "No journey matches." in (await site.get("/journeys")).text()


async def test_a_made_up_place_is_refused_in_words(reader: Site, temporal: Search):
    await _crowd(reader, temporal, 1)
    for made_up in ("x", "WyIzMSJd", "WyJzZWFyY2giLCLwn5iAIl0"):
        await reader.get(f"/journeys?state=held&after={made_up}", 422)
    # One that is no place of the server's is its trouble, and tried again: not for long.
    await reader.get("/journeys?state=held&after=WyJzZWFyY2giLCIzMSJd")
    assert temporal.patience == timedelta(seconds=5)
    temporal.error = RPCStatusCode.UNAVAILABLE
    shown = await reader.get("/journeys?state=held", 503)
    assert "The Temporal server does not answer: check that it is running" in shown.text()


PAGE = "/journeys/a/7/K1"


async def test_what_is_kept_back_can_be_sent_now(operator: Site):
    waiting = {"for": "quiet hours", "until": "2026-03-31T06:00:00+00:00"}
    operator.client.views["a/7/K1"] = replace(HELD, progress={**PROGRESS, "state": "waiting", "waiting": waiting})
    await operator.send(PAGE, {"operation": "send_now", "reason": "it cannot wait", "step": "hook"})
    ((journey, name, given),) = operator.client.operated
    assert (journey, name, given["now"], given["step"]) == ("a/7/K1", "retry", True, "hook")


FORMS: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({"operation": "retry", "step": "hook"}, {"step": "hook"}),
    ({"operation": "retry", "now": "yes"}, {"now": True}),
    ({"operation": "retry", "anew": "yes"}, {"anew": True}),
    ({"operation": "skip", "anew": "yes"}, {}),
    ({"operation": "skip", "step": "hook"}, {"step": "hook"}),
    ({"operation": "leave", "sure": "yes"}, {}),
    ({"operation": "pause"}, {}),
    ({"operation": "resume"}, {}),
]


async def test_each_form_does_its_operation(site: Site):
    site.client.views["a/7/K1"] = HELD
    key = await site.sign_in()
    for form, more in FORMS:
        shown = await site.send(PAGE, {**form, "reason": " wax is back "})
        given = {"operator": f"key {key}", "reason": "wax is back", **more}
        assert site.client.operated.pop() == ("a/7/K1", form["operation"], given)
        assert shown.texts("[role=status]") != []


async def test_what_makes_no_sense_is_refused_or_needs_a_scope_is_told_in_words(operator: Site):
    operator.client.views["a/7/K1"] = HELD
    for form, words in (
        ({"operation": "leave", "reason": "  "}, "Give a reason"),
        ({"operation": "leave", "reason": "x" * 501}, "too long"),
        ({"operation": "leave", "reason": "x"}, "Confirm that the journey is to end"),
        ({"operation": "terminate", "reason": "x"}, "no such operation"),
    ):
        shown = await operator.send(PAGE, form, status=422)
        assert words in shown.text()
        is_offered = form["operation"] == "leave"
        assert shown.values("details[open] input[name=reason]", "value") == [form["reason"]] * is_offered
        assert operator.client.operated == []
    operator.client.refusal = "the journey is not at step 'hook', but at 'bye'"
    shown = await operator.send(PAGE, {"operation": "retry", "reason": "x"}, status=409)
    assert "the journey is not at step 'hook', but at 'bye'." in shown.text()
    await operator.sign_in("read")
    shown = await operator.get(PAGE)
    assert (shown.texts(".operation"), "Operations need the scope operate" in shown.text()) == ([], True)
    assert "There is no journey 'a/8'" in (await operator.get("/journeys/a/8", 404)).text()


async def test_a_key_of_other_scenarios_sees_and_does_nothing(site: Site):
    site.client.views["a/7/K1"] = HELD
    site.client.views["b/7"] = HELD  # an id that says another scenario
    site.client.views["b/8"] = replace(HELD, entry=None)  # the same, and not admitted yet
    await site.sign_in("read", "operate", scenarios=["b"])
    await site.get(PAGE, 403)
    await site.get("/journeys/b/7", 403)
    await site.get("/journeys/b/8", 403)


async def test_a_journey_of_a_contact_that_is_called_dots_is_operated_and_listed(site: Site):
    site.client.views["a/../K1"] = HELD
    key = await site.sign_in(note="ann")
    await site.send(to_journey("a/../K1"), {"operation": "retry", "reason": "x", "step": "hook", "now": "yes"})
    assert [one[:2] for one in site.client.operated] == [("a/../K1", "retry")]
    log = await site.get("/operations")
    (row,) = log.rows("Operations")
    assert [*row[:2], *row[3:5]] == [
        "Retry",
        "finished",
        f"ann (key {key})",
        "one journey: scenario a, step hook in spite of quiet hours, windows and caps",
    ]
    (address,) = log.values("tbody th a", "href")
    assert [row[:2] for row in (await site.get(address)).rows("Its journeys")] == [["a/../K1", "accepted"]]


async def test_what_the_journey_has_done_is_done_although_the_log_is_out_of_reach(
    operator: Site, monkeypatch: pytest.MonkeyPatch
):
    async def fail(_: object) -> bool:
        raise StoreUnavailable("the disk is full")

    operator.client.views["a/7/K1"] = HELD
    monkeypatch.setattr(operator.store, "add_operation", fail)
    done = await operator.send(PAGE, {"operation": "retry", "reason": "x"})
    assert "The step is retried." in done.text()


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
    monkeypatch.setattr("service.erasures.find_runs", _no_runs)
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
