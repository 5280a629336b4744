"""The first page."""

from __future__ import annotations

from gateway.service.held import HeldGroupKey
from tests.gateway.operations.test_retry_policy import activity, record
from tests.gateway.pages.conftest import Site
from tests.gateway.search import Search


async def test_the_first_page_says_that_all_is_well_or_leads_to_what_is_not(site: Site, temporal: Search):
    await site.sign_in("read")
    assert "All is well. Nothing needs you." in (await site.get("/")).text()
    temporal.hold(HeldGroupKey("a", "hook", "wax", "permanent"), 3)
    temporal.queues["email"] = (0, 1)
    await record(site.store, "a/1")
    temporal.sending["a/1"] = [activity("webhook")]
    site.client.services.refresh()
    page = await site.get("/")
    assert "Something needs you." in page.text()
    held, deliveries, workers, *_ = page.texts("section.card")
    assert held == "Held journeys held 3 wait for a decision the receiver refused it permanently 3"
    assert deliveries.startswith("Deliveries retry 1 waits for a retry; the oldest was first tried ")
    assert workers == "Workers down No worker takes tasks of this queue. Check that one runs. email 1 task waits"
    assert {"/held?cause=permanent", "/destinations/wax"} <= {*page.values("section.card a", "href")}
    assert "3 journeys are held, in 1 group." in (await site.get("/held?cause=permanent")).text()
    assert "No such journey is held." in (await site.get("/held?cause=capped")).text()
