"""The first page, what the script gets when it refreshes a part of one, and how pages are compressed."""

import json

from gateway.service.held import HeldGroupKey
from tests.gateway.journey import HELD
from tests.gateway.operations.test_retry_policy import activity, record
from tests.gateway.pages.conftest import SITE, Site
from tests.gateway.pages.test_held import WAX
from tests.gateway.pages.test_journeys import PAGE
from tests.gateway.search import Search

HTMX = {"hx-request": "true"}


async def test_only_the_region_is_sent_and_only_if_it_has_changed(operator: Site, temporal: Search):
    temporal.hold(WAX, 4)
    page = await operator.get("/held")
    (headers,) = page.values("[hx-headers]", "hx-headers")
    known = HTMX | json.loads(headers)
    same = await operator.browser.get("/held", headers=known)
    assert (same.status_code, same.content) == (304, b"")
    temporal.hold(WAX)
    operator.client.services.refresh()
    other = await operator.browser.get("/held", headers=known)
    assert other.text.strip().startswith('<div id="held" hx-get="/held"')
    assert other.text.strip().endswith("</div>")
    assert "5 journeys" not in page.text()
    assert '<strong class="figure">5</strong> journeys' in other.text


async def test_the_parts_of_a_journey_are_sent_together(operator: Site):
    operator.client.views["a/7/K1"] = HELD
    (headers,) = (await operator.get(PAGE)).values("[hx-headers]", "hx-headers")
    same = await operator.browser.get(PAGE, headers=HTMX | json.loads(headers))
    assert same.status_code == 304, "but for the tokens of its forms"
    parts = await operator.browser.get(PAGE, headers=HTMX)
    assert [part in parts.text for part in ('<div id="now"', '<div id="operate"', '<div id="course"', "<main")] == [
        *[True] * 3,
        False,
    ]


async def test_the_token_of_forms_differs_in_each_compressed_page_and_is_good(operator: Site):
    answer = await operator.browser.get("/held", headers={"accept-encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    first, second = [(await operator.get("/held")).token for _ in range(2)]
    assert first != second
    for token, status in ((first, 422), (second, 422), (first[:-1] + "g", 403), (first[:64] + second[64:], 403)):
        form = {"token": token, "operation": "retry", "scenario": "a", "step": "hook"}
        answer = await operator.browser.post("/held/operation", data=form, headers={"origin": SITE})
        assert answer.status_code == status


async def test_the_first_page_says_that_all_is_well_or_leads_to_what_is_not(reader: Site, temporal: Search):
    assert "All is well. Nothing needs you." in (await reader.get("/")).text()
    temporal.hold(HeldGroupKey("a", "hook", "wax", "permanent"), 3)
    temporal.queues["email"] = (0, 1)
    await record(reader.store, "a/1")
    temporal.sending["a/1"] = [activity("webhook")]
    reader.client.services.refresh()
    page = await reader.get("/")
    assert "Something needs you." in page.text()
    held, deliveries, workers, *_ = page.texts("section.card")
    assert held == "Held journeys held 3 wait for a decision the receiver refused it permanently 3"
    assert deliveries.startswith("Deliveries retry 1 waits for a retry; the oldest was first tried ")
    assert workers == "Workers down No worker takes tasks of this queue. Check that one runs. email 1 task waits"
    assert {"/held?cause=permanent", "/destinations/wax"} <= {*page.values("section.card a", "href")}
    assert "3 journeys are held, in 1 group." in (await reader.get("/held?cause=permanent")).text()
    assert "No such journey is held." in (await reader.get("/held?cause=capped")).text()
