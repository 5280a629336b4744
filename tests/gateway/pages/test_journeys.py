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
        server.add(f"sale/{number}", **known, StartTime=NOW.isoformat())


async def test_the_newest_come_first_and_older_ones_behind(site: Site, temporal: Search):
    await _crowd(site, temporal, 53)
    await site.store.depart("sale/1", "r", "finished", None, NOW)
    await site.sign_in("read")
    shown = await site.get("/journeys")
    rows = shown.rows("Journeys")
    assert len(rows) == 50
    assert [[*row[:3], *row[5:7]] for row in rows[:2]] == [
        ["sale/0", "waiting", "wait-2", "sale@1", "0"],
        ["sale/1", "finished", "", "sale@1", "1"],
    ]
    (older,) = shown.values("a[rel=next]", "href")
    behind = await site.get(older)
    assert [row[0] for row in behind.rows("Journeys")] == ["sale/50", "sale/51", "sale/52"]
    assert behind.values("a[rel=next]", "href") == []


async def test_search_finds_those_at_a_step(site: Site, temporal: Search):
    await _crowd(site, temporal, 52)
    temporal.add("sale/3", ScenarioName="sale", StepId="hook", JourneyState="held")
    await site.sign_in("read")
    held = await site.get("/journeys?scenario=sale&state=held&step=hook&version=")
    assert [row[0] for row in held.rows("Journeys")] == ["sale/3"]
    assert held.values("option[selected]", "value") == ["sale", "held"]
    waiting = await site.get("/journeys?scenario=sale&version=1&step=wait-2")
    assert "ScenarioVersion = 'sale@1'" in temporal.queries[-1]
    (older,) = waiting.values("a[rel=next]", "href")
    assert [row[0] for row in (await site.get(older)).rows("Journeys")] == ["sale/0"]


async def test_by_contact_state_and_version(site: Site, temporal: Search):
    await _crowd(site, temporal, 3)
    await site.store.depart("sale/1", "r", "finished", None, NOW)
    await site.sign_in("read")
    for query, found in (
        ("contact=2", ["sale/2"]),
        ("state=in+progress", ["sale/0", "sale/2"]),
        ("state=finished", ["sale/1"]),
    ):
        shown = await site.get(f"/journeys?{query}")
        assert [row[0] for row in shown.rows("Journeys")] == found
    for query in ("version=9", "contact=nobody", "state=exited", "step=it%27s"):
        assert "No journey matches." in (await site.get(f"/journeys?{query}")).text()


def _at(minutes: float) -> str:
    return (NOW - timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


async def test_ranges_and_orders_are_about_the_start_or_the_end(site: Site, temporal: Search):
    await _crowd(site, temporal, 6)
    for number, minutes in ((3, 1.5), (4, 0.5), (5, 2.5)):  # ended
        await site.store.depart(f"sale/{number}", "r", "finished", None, NOW - timedelta(minutes=minutes))
    await site.sign_in("read")
    for query, found in (
        ("sort=started", [5, 4, 3, 2, 1, 0]),
        (f"since={_at(4)}&until={_at(1)}", [2, 3, 4]),
        ("sort=-ended", [4, 3, 5]),
        (f"sort=ended&until={_at(1)}", [5, 3]),
        (f"sort=ended&since={_at(2)}&state=finished", [3, 4]),
        (f"state=waiting&step=wait-2&since={_at(2)}&until={_at(0.5)}", [2, 1]),
    ):
        shown = await site.get(f"/journeys?{query}")
        assert [row[0] for row in shown.rows("Journeys")] == [f"sale/{number}" for number in found], query


async def test_pages_of_an_order_leave_none_out(site: Site, temporal: Search):
    await _crowd(site, temporal, 52)
    for number in range(52):
        await site.store.depart(f"sale/{number}", "r", "finished", None, NOW)
    await site.sign_in("read")
    for sort in ("started", "ended", "-ended"):
        assert sorted(await site.column(f"/journeys?sort={sort}", "Journeys")) == sorted(
            f"sale/{number}" for number in range(52)
        )


async def test_a_mistake_stands_at_its_field_and_all_filters_are_kept(site: Site, temporal: Search):
    await _crowd(site, temporal, 1)
    temporal.error = RPCStatusCode.UNAVAILABLE  # nothing is searched
    await site.sign_in("read")
    kept = "scenario=sale&version=1&state=waiting&step=wait-2&contact=7&since=2h&until=1h"
    for mistake, name, message in (
        ("sort=ended", "sort", "are listed by their start, newest first"),
        ("sort=x", "sort", "choose one of the list"),
        ("since=soon", "since", "'since' is neither a time nor a duration"),
        ("version=two", "version", "The version is a number"),
    ):
        name_kept = "&".join(pair for pair in kept.split("&") if not pair.startswith(f"{name}="))
        shown = await site.get(f"/journeys?{name_kept}&{mistake}", 422)
        assert message in shown.text(f"#{name}-wrong")
        assert shown.values("[aria-invalid]", "id") == [name]
        fields = {"version": "1", "step": "wait-2", "contact": "7", "since": "2h", "until": "1h"}
        fields |= dict([mistake.split("=")])
        assert {one: shown.values(f"#{one}", "value")[0] for one in fields if one != "sort"} == {
            one: value for one, value in fields.items() if one != "sort"
        }
        assert shown.texts("option[selected]")[:2] == ["sale", "waiting"]
    ended = await site.get("/journeys?state=finished&step=wait-2", 422)
    assert ended.text("#step-wrong") == "Leave the step or the state out: only running journeys are at a step."


async def test_a_version_without_a_scenario_is_a_filter_in_every_state(site: Site, temporal: Search):
    await _crowd(site, temporal, 2)
    for number, version in enumerate((1, 2)):
        known = {"ScenarioName": "sale", "StepId": "hook", "ScenarioVersion": f"sale@{version}"}
        temporal.add(f"sale/{number}", **known, JourneyState="held")
    await site.sign_in("read")
    for query in ("version=2", "version=2&scenario=sale"):
        shown = await site.get(f"/journeys?state=held&{query}")
        assert [row[0] for row in shown.rows("Journeys")] == ["sale/1"]
    for query in ("version=3", "version=3&scenario=sale"):
        assert "No journey matches." in (await site.get(f"/journeys?state=held&{query}")).text()


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


async def test_a_made_up_place_is_refused_in_words(site: Site, temporal: Search):
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
