"""Attempts on record, numbers, results and answers to why, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.service.journeys import JourneyService
from gateway.service.paging import encode_cursor
from gateway.why.why import CapPlaces, WhyView
from runtime.store import Store
from tests.factories import attempt
from tests.gateway.api.doors import Door, opened
from tests.gateway.service.test_outgoing import held

START = datetime(2026, 3, 3, 9, tzinfo=UTC)
ATTEMPT = attempt(workflow_id="hello/1", scenario="hello", contact_id="1", started_at=START)
GOAL = (
    "scenario: hello\ntrigger: order\ngoal: {event: order.placed, within: 7d}\nsteps:\n  - sms: hello\n    text: Hi\n"
)


@pytest.fixture
async def door(store: Store) -> AsyncIterator[Door]:
    # At one moment there are four, by which pages part.
    await store.record(
        [
            *(replace(ATTEMPT, delivery_id=f"msg_{number}") for number in (1, 2, 3)),
            replace(ATTEMPT, attempt=2),
            replace(ATTEMPT, started_at=START - timedelta(hours=1), contact_id="2", scenario="other", outcome="failed"),
            replace(ATTEMPT, started_at=START + timedelta(hours=1), attempt=3, destination="wax"),
        ]
    )
    async with opened(store) as door:
        yield door


async def listed(door: Door, query: str = "") -> list[tuple[str, int, str]]:
    """All of a list, page by page."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await door.call("GET", f"/deliveries?limit=2{query}{cursor}")
        found += page["items"]
        if page["next"] is None:
            return [(item["delivery_id"], item["attempt"], item["started_at"][11:16]) for item in found]
        cursor = f"&cursor={page['next']}"


async def test_pages_follow_each_other_without_a_gap(door: Door):
    assert await listed(door) == [
        ("msg_1", 3, "10:00"),
        ("msg_1", 2, "09:00"),
        ("msg_3", 1, "09:00"),
        ("msg_2", 1, "09:00"),
        ("msg_1", 1, "09:00"),
        ("msg_1", 1, "08:00"),
    ]


async def test_lists_are_filtered(door: Door):
    for query, count in (
        ("journey=hello/1", 6),
        ("contact=2", 1),
        ("scenario=other", 1),
        ("destination=wax", 1),
        ("delivery=msg_2", 1),
        ("outcome=failed", 1),
        ("error=capped", 0),
        ("since=2026-03-03T09:00:00Z", 5),
        ("since=2026-03-03T11:00:00%2B01:00", 1),
    ):
        assert len(await listed(door, f"&{query}")) == count, query


FAR = encode_cursor({"at": "9999-12-31T23:59:59-14:00", "attempt": 1, "delivery": "msg_1"})


async def test_what_is_no_filter_is_said(door: Door):
    for query in (
        "outcome=lost",
        "since=2026-03-03T09:00:00",
        "since=2h",
        "since=0001-01-01T00:00:00%2B14:00",
        "since=9999-12-31T23:59:59-14:00",
        "limit=251",
        "cursor=e30",
        f"cursor={FAR}",
    ):
        problem = await door.call("GET", f"/deliveries?{query}", status=422)
        assert [error["pointer"] for error in problem["errors"]] == [f"query:{query.partition('=')[0]}"]


async def test_results_and_journeys_are_counted(door: Door):
    await door.call("PUT", "/scenarios/hello", json={"source": GOAL})
    found = await door.call("GET", "/results/hello?version=1")
    assert (found["scenario"], found["goal"]["event"], found["entered"]) == ("hello", "order.placed", 0)
    assert found["comparisons"][0]["arms"][0]["value"] == "0"
    [version] = (await door.call("GET", "/stats/hello"))["versions"]
    assert (version["version"], [step["id"] for step in version["steps"]]) == (1, ["hello"])
    [version] = (await door.call("GET", "/trends/hello?days=7"))["versions"]
    assert [step["id"] for step in version["steps"]]
    for path in (f"/{one}/{of}" for one in ("results", "stats", "trends") for of in ("nobody", "hello?version=2")):
        await door.call("GET", path, status=404)
    assert (await door.call("GET", "/stats/hello?version=0", status=422))["errors"][0]["pointer"] == "query:version"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []

    async def why(_: JourneyService, contact: str, scenarios: tuple[str | None], **__: Any) -> WhyView:
        found.append((contact, *scenarios))
        return WhyView(
            contact=contact,
            step=None,
            answer="",
            entries=[],
            caps=[CapPlaces(cap="week", taken=3, at_most=4, per="7d", free_at=None)],
            zone=UTC,
        )

    monkeypatch.setattr(JourneyService, "_why", why)
    return found


@pytest.mark.parametrize("path", ["/contacts/shop/7/why", "/contacts/shop%2F7/why"])
async def test_a_contacts_id_stands_in_the_path_as_it_is(store: Store, asked: list[tuple[str, str | None]], path: str):
    async with opened(store) as door:
        assert (await door.call("GET", path))["contact"] == "shop/7"
    assert asked == [("shop/7", None)]


async def test_what_other_scenarios_have_sent_is_not_told(store: Store, asked: list[tuple[str, str | None]]):
    async with opened(store) as door:
        told = await door.call("GET", "/contacts/7/why?scenario=hello")
        assert [(cap["cap"], cap["taken"]) for cap in told["caps"]] == [("week", 3)]
        limited = await door.limited("hello")
        assert (await limited.call("GET", "/contacts/7/why?scenario=hello"))["caps"] is None
    assert asked == [("7", "hello")] * 2


async def test_a_held_audience_is_shown_and_retried(door: Door, store: Store):
    await store.record_audience_trouble("meta", "vip", "meta answered 400 (100)", datetime.now(UTC))
    [held] = await door.call("GET", "/synced-audiences")
    assert (held["audience"], held["destination"], held["state"], held["members"]) == ("vip", "meta", "held", 0)
    assert (held["trouble"], held["refused"]) == ("meta answered 400 (100)", {})
    said = await door.call("POST", "/synced-audiences/meta/vip/retry", json={"reason": "repaired", "operator": "ann"})
    assert said["state"] == "synced"
    assert said["trouble"].startswith("ann (key ")
    problem = await door.call("POST", "/synced-audiences/meta/no/retry", json={"reason": "x"}, status=404)
    assert problem["detail"] == "no contact was ever added to an audience 'no' here: see 'scenario audience list'"


async def test_held_outgoing_events_are_shown_and_retried_once(door: Door, store: Store):
    [identifier] = await held(store, "7")
    [listed] = await door.call("GET", "/outgoing")
    shown = await door.call("GET", "/outgoing/crm")
    assert (listed["held"], [one["id"] for one in shown["events"]]) == (1, [identifier])
    asked: dict[str, Any] = {
        "json": {"reason": "repaired", "operator": "ann", "events": [identifier]},
        "headers": {"idempotency-key": "k"},
    }
    done = await door.call("POST", "/outgoing/crm/retry", **asked)
    assert (done["events"], done["operator"][:9]) == (1, "ann (key ")
    assert await door.call("POST", "/outgoing/crm/retry", **asked) == done
    [operation] = (await door.call("GET", "/operations?operation=retry"))["items"]
    assert operation == done
    [mistake] = (await door.call("GET", "/operations?operation=fly", status=422))["errors"]
    words = "retry, skip, leave, pause, resume, retune, migrate, replay or forget"
    assert mistake["detail"] == f"'operation' must be {words}"
    late = await door.call("POST", "/outgoing/crm/skip", json={"reason": "x", "events": [identifier]}, status=422)
    assert late["errors"][0]["pointer"] == "/events"
    await door.call("GET", "/outgoing/none", status=404)
