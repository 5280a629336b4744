"""The page of destinations, and how deliveries to one are retuned."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from activities.webhook.destinations.reading import DestinationsFile
from runtime.store import Store
from tests.gateway.pages.conftest import Site, visited
from tests.gateway.pages.test_deliveries import made
from tests.gateway.pages.test_held import WAX
from tests.gateway.search import Search

BOOK = """
destinations:
  calm: {url: "https://calm.example.com", rate: 7/s, concurrency: 3, breaker: off}
"""
FORM = {"destination": "wax", "reason": "slowly", "rate": "5", "maximum_interval": "1h", "maximum_attempts": "9"}


@pytest.fixture
async def site(store: Store, temporal: Search, tmp_path: Path) -> AsyncIterator[Site]:
    """The pages, with a file of destinations."""
    (tmp_path / "destinations.yaml").write_text(BOOK)
    book = DestinationsFile(tmp_path / "destinations.yaml")
    async with visited(temporal, store, book=book) as site:
        yield site


async def test_destinations_of_the_file_and_those_that_were_sent_to(site: Site, temporal: Search) -> None:
    temporal.hold(WAX, 4)
    await site.store.record(
        [made(1, destination="<b>", outcome="failed"), made(2, destination="<b>", outcome="delivered")]
    )
    await site.sign_in("read")
    page = await site.get("/destinations")
    assert page.rows("Destinations, failing ones first") == [
        ["hooks.example.com", "–", "0", "–", "4", "nothing", "the default"],
        ["<b>", "–", "0", "–", "0", "delivered 1 failed 1", "the default"],
        ["calm", "–", "0", "–", "0", "nothing", "7/s, 3 at a time per worker never left alone"],
    ]
    assert "Any other host: 100 a second, 50 at a time per worker, left alone when 70%" in page.text()
    assert "Retune" not in page.text()


async def test_deliveries_are_retuned_for_a_reason(site: Site, temporal: Search) -> None:
    name = await site.sign_in()
    look = await site.get("/destinations/retune?destination=wax")
    assert "No delivery to it is known to be in progress." in look.text()
    await site.send("/destinations/retune", FORM, page="/destinations/retune?destination=wax")
    (stored,) = await site.store.stored_operations()
    assert (stored.verb, stored.operator, stored.reason) == ("retune", f"key {name}", "slowly")
    assert stored.request["which"] == {"destination": "wax"}
    assert stored.request["more"] == {"retry": {"maximum_interval": 3600.0, "maximum_attempts": 9}}
    assert len(temporal.started) == 1


async def test_what_makes_no_sense_changes_nothing(site: Site) -> None:
    await site.sign_in()
    for wrong, said in (
        ({"maximum_interval": "soon"}, "The maximum interval is a duration"),
        ({"maximum_attempts": "many"}, "The maximum number of attempts is a whole number"),
        ({"maximum_interval": "", "maximum_attempts": ""}, "Name what to change"),
        ({"backoff_coefficient": "0.5"}, "The backoff coefficient must be from 1"),
        ({"reason": ""}, "Give a reason"),
        ({"destination": ""}, "No destination is selected"),
    ):
        page = await site.send("/destinations/retune", {**FORM, **wrong}, status=422, page="/destinations")
        assert page.text("[role=alert]").startswith(said)
        assert await site.store.stored_operations() == []
