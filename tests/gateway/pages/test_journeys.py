"""The list of journeys: by the store, or by search where that knows more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from temporalio.service import RPCStatusCode

from runtime.store import Store
from tests.factories import admission_request
from tests.gateway.pages.conftest import Site
from tests.gateway.search import Search
from tests.gateway.service.test_stats import publish

NOW = datetime.now(UTC)


async def admit(store: Store, journey: str, contact: str, minutes: float = 0) -> None:
    """Lets a journey in, so many minutes ago."""
    now, scenario = NOW - timedelta(minutes=minutes), journey.partition("/")[0]
    await store.admit(admission_request(contact, scenario, workflow_id=journey, run_id="r", now=now, trigger="segment"))


async def _crowd(site: Site, server: Search, many: int) -> None:
    await publish(site.store)
    for number in range(many):
        await admit(site.store, f"sale/{number}", str(number), number)
        known = {"ScenarioName": "sale", "StepId": "wait-2", "JourneyState": "waiting", "ScenarioVersion": "sale@1"}
        server.add(f"sale/{number}", **known)


async def test_the_newest_come_first_and_older_ones_behind(site: Site, temporal: Search) -> None:
    await _crowd(site, temporal, 53)
    await site.store.depart("sale/1", "r", "finished", None, NOW)
    await site.sign_in("read")
    shown = await site.get("/journeys")
    rows = shown.rows("Journeys, newest first")
    assert len(rows) == 50
    assert [row[:5] for row in rows[:2]] == [
        ["sale/0", "sale@1", "0", "waiting", "wait-2"],
        ["sale/1", "sale@1", "1", "finished", ""],
    ]
    (older,) = shown.values("a[rel=next]", "href")
    behind = await site.get(older)
    assert [row[0] for row in behind.rows("Journeys, newest first")] == ["sale/50", "sale/51", "sale/52"]
    assert behind.values("a[rel=next]", "href") == []


async def test_search_finds_those_at_a_step(site: Site, temporal: Search) -> None:
    await _crowd(site, temporal, 52)
    temporal.add("sale/3", ScenarioName="sale", StepId="hook", JourneyState="held")
    await site.sign_in("read")
    held = await site.get("/journeys?scenario=sale&state=held&step=hook&version=")
    assert [row[0] for row in held.rows("Journeys, newest first")] == ["sale/3"]
    assert held.values("option[selected]", "value") == ["", ""]
    waiting = await site.get("/journeys?scenario=sale&version=1&step=wait-2")
    assert "ScenarioVersion = 'sale@1'" in temporal.queries[-1]
    (older,) = waiting.values("a[rel=next]", "href")
    assert [row[0] for row in (await site.get(older)).rows("Journeys, newest first")] == ["sale/0"]


async def test_by_contact_state_and_version(site: Site, temporal: Search) -> None:
    await _crowd(site, temporal, 3)
    await site.store.depart("sale/1", "r", "finished", None, NOW)
    await site.sign_in("read")
    for query, found in (
        ("contact=2", ["sale/2"]),
        ("state=in+progress", ["sale/0", "sale/2"]),
        ("state=finished", ["sale/1"]),
    ):
        shown = await site.get(f"/journeys?{query}")
        assert [row[0] for row in shown.rows("Journeys, newest first")] == found
    for query in ("version=9", "contact=nobody", "state=exited", "step=it%27s"):
        assert "No journey matches." in (await site.get(f"/journeys?{query}")).text()


async def test_a_version_without_a_scenario_is_a_filter_in_every_state(site: Site, temporal: Search) -> None:
    await _crowd(site, temporal, 2)
    for number, version in enumerate((1, 2)):
        known = {"ScenarioName": "sale", "StepId": "hook", "ScenarioVersion": f"sale@{version}"}
        temporal.add(f"sale/{number}", **known, JourneyState="held")
    await site.sign_in("read")
    for query in ("version=2", "version=2&scenario=sale"):
        shown = await site.get(f"/journeys?state=held&{query}")
        assert [row[0] for row in shown.rows("Journeys, newest first")] == ["sale/1"]
    for query in ("version=0", "version=0&scenario=sale", "version=3"):
        assert "No journey matches." in (await site.get(f"/journeys?state=held&{query}")).text()


async def test_a_key_of_some_scenarios_lists_these_alone(site: Site, temporal: Search) -> None:
    await _crowd(site, temporal, 2)
    await admit(site.store, "other/1", "1")
    await site.sign_in("read", scenarios=["sale"])
    shown = await site.get("/journeys")
    assert [row[0] for row in shown.rows("Journeys, newest first")] == ["sale/0", "sale/1"]
    assert shown.texts("#scenario option") == ["sale"]
    await site.get("/journeys?scenario=other", 403)
    await site.sign_in("read", scenarios=["none"])
    assert "No journey matches." in (await site.get("/journeys")).text()


async def test_a_made_up_place_is_refused_in_words(site: Site, temporal: Search) -> None:
    await _crowd(site, temporal, 1)
    await site.sign_in("read")
    for made_up in ("x", "eyJ0b2tlbiI6IvCfmIAifQ"):
        await site.get(f"/journeys?state=held&after={made_up}", 422)
    # One that is no place of the server's is its trouble, and tried again: not for long.
    await site.get("/journeys?state=held&after=eyJ0b2tlbiI6IjMxIn0")
    assert temporal.patience == timedelta(seconds=5)
    temporal.error = RPCStatusCode.UNAVAILABLE
    shown = await site.get("/journeys?state=held", 503)
    assert "The Temporal server does not answer: check that it is running" in shown.text()
