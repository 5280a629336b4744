"""The page of destinations, and how deliveries to one are retuned."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.webhook.destinations.reading import DestinationsFile
from gateway.journeys.snapshot import DeliveryStatus
from gateway.operations.retry_policy import PendingDelivery
from gateway.pages.destinations import in_force
from gateway.pages.operations import changes
from runtime.store import Store
from scenario.plan.retry import RetryPolicy
from tests.gateway.operations.test_retry_policy import activity, record
from tests.gateway.pages.conftest import Site, visited
from tests.gateway.pages.test_deliveries import made
from tests.gateway.pages.test_held import WAX
from tests.gateway.search import Search

BOOK = """
destinations:
  calm: {url: "https://calm.example.com", rate: 7/s, concurrency: 3, breaker: off}
"""
ONE = """
  slow:
    url: "https://slow.example.com"
    rate: 9/s
    timeout: 4s
    retry: {initial_interval: 2s, maximum_attempts: 9}
"""
FORM = {"destination": "wax", "reason": "slowly", "rate": "5", "maximum_interval": "1h", "maximum_attempts": "9"}


@pytest.fixture
async def site(store: Store, temporal: Search, tmp_path: Path) -> AsyncIterator[Site]:
    (tmp_path / "destinations.yaml").write_text(BOOK)
    book = DestinationsFile(tmp_path / "destinations.yaml")
    async with visited(temporal, store, book=book) as site:
        yield site


async def test_destinations_of_the_file_and_those_that_were_sent_to(reader: Site, temporal: Search):
    temporal.hold(WAX, 4)
    await reader.store.record(
        [made(1, destination="<b>", outcome="failed"), made(2, destination="<b>", outcome="delivered")]
    )
    page = await reader.get("/destinations")
    assert page.rows("Destinations, failing ones first") == [
        ["hooks.example.com", "–", "0", "–", "4", "nothing", "the default"],
        ["<b>", "–", "0", "–", "0", "delivered 1 failed 1", "the default"],
        ["calm", "–", "0", "–", "0", "nothing", "7 a second, 3 at a time per worker no circuit breaker"],
    ]
    assert "Any other host: 100 a second, 50 at a time per worker, paused when 70%" in page.text()
    assert "Change retries" not in page.text()


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


async def test_one_destination_with_its_policy_attempts_and_what_waits_for_it(
    site: Site, temporal: Search, tmp_path: Path
):
    (tmp_path / "destinations.yaml").write_text(BOOK + ONE)
    site.app.state.destinations = DestinationsFile(tmp_path / "destinations.yaml")
    temporal.hold(WAX._replace(destination="slow"), 4)
    temporal.hold(WAX._replace(destination="slow", scenario="b"), 2)
    waiting = await record(site.store, "a/1", destination="slow")
    temporal.sending["a/1"] = [activity("webhook")]
    sent = {"destination": "slow", "next_try_at": None}
    await site.store.record(
        [
            made(90, **sent, outcome="failed", status=410, milliseconds=300),
            made(100, **sent, outcome="delivered", milliseconds=20),
            made(101, **sent, outcome="delivered", milliseconds=20),
        ]
    )
    await site.sign_in()
    page = await site.get("/destinations/slow")
    assert page.text("h1") == "slow"
    assert page.text(".note").startswith("wax answered 503 (attempt 2). No delivery has succeeded since ")
    assert page.texts("dl.facts div") == [
        "Waiting for a retry 1",
        "Held journeys 6",
        "Half of attempts within 20 ms",
        "95 % within 300 ms",
    ]
    assert page.values("svg", "aria-label") == ["Attempts at slow by hour: 2 delivered, 1 retried, 1 failed"]
    assert page.texts(".rules div") == [
        "Pause before the second attempt 2s",
        "Factor for further pauses 3",
        "Longest pause 6h",
        "Maximum attempts 9",
        "Time for all attempts 3d",
        "Time for one attempt 4 s",
        "Rate 9 a second; 50 at a time per worker",
        "Circuit breaker paused when 70% of at least 10 fail",
    ]
    assert [row[0] for row in page.rows("Waiting for a retry")] == [waiting.workflow_id]
    assert [(row[0], row[4]) for row in page.rows("Newest failures")] == [("a/90", "410")]
    assert "/held/operation?operation=retry&most=3&destination=slow" in page.values(".actions a", "href")
    assert "/destinations/slow" in (await site.get("/destinations")).values("th a", "href")
    assert (await site.get("/destinations/%3Cb%3E", 404)).text("h1") == "It was not found"
    await site.sign_in("read", scenarios=["a"])
    await site.get("/destinations/slow", 403)
