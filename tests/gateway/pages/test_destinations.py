"""The pages of destinations and deliveries, and how deliveries to a destination are retuned."""

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activities.interface import Delivery
from activities.webhook.destinations.reading import DestinationsFile
from gateway.pages.destinations import in_force
from gateway.pages.operations import changes
from runtime.store import Attempt, Store
from scenario.plan.retry import RetryPolicy
from service.destinations import PendingDelivery
from service.journeys.snapshot import DeliveryStatus
from tests import factories
from tests.gateway.pages.conftest import Site, visited
from tests.journey import attempt
from tests.search import Search
from tests.service.test_stats import publish

BOOK = """
destinations:
  calm: {url: "https://calm.example.com", rate: 7/s, concurrency: 3, breaker: off}
"""
FORM = {"destination": "wax", "reason": "slowly", "rate": "5", "maximum_interval": "1h", "maximum_attempts": "9"}


@pytest.fixture
async def site(store: Store, temporal: Search, tmp_path: Path) -> AsyncIterator[Site]:
    (tmp_path / "destinations.yaml").write_text(BOOK)
    book = DestinationsFile(tmp_path / "destinations.yaml")
    async with visited(temporal, store, book=book) as site:
        yield site


async def test_deliveries_are_retuned_for_a_reason_and_what_makes_no_sense_changes_nothing(
    site: Site, temporal: Search
):
    key = await site.sign_in()
    look = await site.get("/destinations/retune?destination=wax")
    assert "No delivery to it is known to be in progress." in look.text()
    for wrong, said in (
        ({"maximum_interval": "soon"}, "The longest pause is a duration"),
        ({"maximum_attempts": "many"}, "The maximum number of attempts is a whole number"),
        ({"maximum_interval": "", "maximum_attempts": ""}, "Name what to change"),
        ({"backoff_coefficient": "0.5"}, "The backoff coefficient must be from 1"),
        ({"reason": ""}, "Give a reason"),
        ({"destination": ""}, "No destination is selected"),
    ):
        page = await site.send("/destinations/retune", {**FORM, **wrong}, status=422, page="/destinations")
        assert page.text("[role=alert]").startswith(said)
        assert await site.store.stored_operations() == []
        if "destination" not in wrong:  # what was typed is there, and the message at its field
            typed = {**FORM, **wrong}
            assert {name: page.values(f"input[name={name}]", "value")[0] for name in typed} == typed
            assert page.values("[aria-invalid]", "name") == [name for name in wrong if wrong[name] or name == "reason"]
    await site.send("/destinations/retune", FORM, page="/destinations/retune?destination=wax")
    (stored,) = await site.store.stored_operations()
    assert (stored.verb, stored.operator, stored.reason) == ("retune", f"key {key}", "slowly")
    assert stored.request["which"] == {"destination": "wax"}
    assert stored.request["more"] == {"retry": {"maximum_interval": 3600.0, "maximum_attempts": 9}}
    assert len(temporal.started) == 1


def test_the_values_in_force_and_a_change_are_told_in_words():
    def flight(initial: float, attempts: int = 0) -> PendingDelivery:
        retry = RetryPolicy(initial_interval=initial, maximum_attempts=attempts)
        status = DeliveryStatus(step="hook", state="started", attempt=1, retry=retry)
        return PendingDelivery("a/1", "hook", "wax", None, status)

    assert in_force([flight(4.123), flight(5.9, 3)]) == {
        "initial_interval": "now 4.1s to 5.9s",
        "backoff_coefficient": "now 3",
        "maximum_interval": "now 6h",
        "maximum_attempts": "now no limit to 3",
        "deadline": "now 3d",
    }
    assert changes({"maximum_interval": 3600.0, "maximum_attempts": 0, "deadline": "90s"}) == (
        "longest pause: 1h, maximum attempts: no limit, time for all attempts: 90s"
    )


NOW = datetime.now(UTC)


def made(number: int, **more: object) -> Attempt:
    at = NOW - timedelta(minutes=number)
    one = attempt("hook", 1, workflow_id=f"a/{number}", delivery_id=f"msg_{number}", contact_id=str(number))
    return replace(one, started_at=at, scenario="a", **more)  # pyright: ignore[reportArgumentType]


async def test_attempts_are_listed_the_newest_first_and_page_by_page(site: Site):
    await site.store.record([made(number, outcome="delivered", next_try_at=None) for number in range(120)])
    await site.store.record([replace(made(1), scenario="b")])
    await site.sign_in("read", scenarios=["a"])
    read = await site.column("/deliveries", "Recorded attempts, newest first", 1)
    assert read == [f"a/{number}" for number in range(120)]


async def test_without_an_index_only_the_last_days_are_looked_through(reader: Site):
    await reader.store.record([replace(made(1), started_at=NOW - timedelta(days=20))])
    page = await reader.get("/deliveries?step=hook")
    assert "No attempt is recorded that matches within 7 days. Fill in Since to look further back." in page.text()
    for malformed in ("outcome=lost", "since=soon", "since=0001-01-01T00:00%2B23:00", "version=x", "after=x"):
        await reader.get(f"/deliveries?{malformed}", status=422)
    typed = await reader.get("/deliveries?step=hook&since=soon", status=422)
    assert typed.values("[aria-invalid]", "value") == ["soon"]
    assert typed.values("#by-step", "value") == ["hook"]


SCENARIO = """
scenario: sale
trigger: segment
steps:
  - webhook: hook
    url: https://hooks.example.com/{{ contact.id }}
    headers: {Authorization: "Bearer {{ secrets.WAX_TOKEN }}"}
    body: {name: "{{ contact.firstname }}"}
"""


async def test_what_was_sent_needs_a_scope_and_is_logged_without_content(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    known = {"contact": {"id": "7", "firstname": "Zoé\u202e<b>"}}
    one = Delivery(id="msg_1", scenario="sale@1", step="hook", contact="7", now="2026-03-31T10:00:00+02:00", data=known)
    inputs = [(one, datetime(2026, 3, 31, 8, tzinfo=UTC))]

    async def scheduled(_: object, attempts: Sequence[Attempt]) -> list[Any]:
        assert [each.delivery_id for each in attempts] == ["msg_1"]
        return inputs

    monkeypatch.setattr("service.authoring.scheduled", scheduled)
    await publish(site.store, SCENARIO)
    await site.store.record([factories.attempt(scenario="sale", workflow_id="sale/7", response="Zoé")])
    await site.sign_in("read")
    hidden = await site.get("/deliveries/msg_1")
    assert "your key needs the scope content" in hidden.text()
    assert "Zoé" not in hidden.html
    assert "looks at" not in caplog.text
    key = await site.sign_in("read", "content")
    shown = await site.get("/deliveries/msg_1")
    assert shown.headers["cache-control"] == "no-store"
    assert shown.text("pre").startswith("POST https://hooks.example.com/7")
    assert "authorization: Bearer ~~WAX_TOKEN~~" in " ".join(shown.texts("pre"))
    assert '{"name":"Zoé<U+202E><b>"}' in shown.texts("pre")[1]
    assert f"key {key} looks at what msg_1 sent, of sale, step hook" in caplog.text
    assert "Zoé" not in caplog.text
    inputs.clear()
    assert "Temporal has deleted the history" in (await site.get("/deliveries/msg_1")).text()
    await site.sign_in("read", "content", scenarios=["other"])
    await site.get("/deliveries/msg_1", 404)
