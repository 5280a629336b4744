"""What others have made up is text on every page, and what is of other scenarios is on no page of a limited key."""

from dataclasses import replace
from typing import Final

import pytest

from gateway.pages.rendering import to_contact, to_destination, to_journey
from tests.factories import stored_campaign
from tests.gateway.journey import ENTRY, HELD, PROGRESS, START
from tests.gateway.pages.conftest import Document, Site
from tests.gateway.pages.test_contact import WHY
from tests.gateway.pages.test_journeys import admit
from tests.gateway.pages.test_operations import begin, item
from tests.gateway.search import Search
from tests.gateway.service.test_stats import attempt, publish

EVIL: Final = """<script>alert(1)</script>"'></text><img src=x onerror=alert(1)>"""
SCENARIO: Final = """
scenario: sale
description: <script>alert(1)</script>"'></text><img src=x onerror=alert(1)>
trigger: segment
entry: {if: 'contact.lastname == "</text><script>alert(1)</script>"'}
steps:
  - webhook: hook
    url: https://hooks.example.com/?a=%3Cscript%3E
    body: {}
  - if: contact.firstname == "</text><script>alert(1)</script>"
    then:
      - exit: </text><img src=x onerror=alert(1)>
"""


async def test_what_others_have_made_up_is_text(site: Site, temporal: Search):
    journey = f"sale/{EVIL.replace('/', '%2F')}"
    await publish(site.store, SCENARIO)
    await admit(site.store, journey, EVIL)
    temporal.add(journey, ScenarioName="sale", StepId=EVIL, JourneyState="held", Destination=EVIL)
    await site.store.record([attempt(journey, "hook", "failed", EVIL, contact_id=EVIL, destination=EVIL)])
    await begin(site, "op1", replace(item(0, "refused", EVIL), workflow_id=journey), operator=EVIL, reason=EVIL)
    operation = {"name": "pause", "operator": EVIL, "reason": EVIL, "at": START.isoformat(), "step": EVIL}
    step = {"id": EVIL, "kind": EVIL, "outcome": EVIL, "at": START.isoformat(), "reason": EVIL, "note": EVIL}
    waiting = {**PROGRESS["waiting"], "step": EVIL, "reason": EVIL, "destination": EVIL}
    progress = {**PROGRESS, "operations": [operation], "steps": [step], "waiting": waiting, "at": EVIL}
    entry = replace(ENTRY, workflow_id=journey, contact_id=EVIL, key=EVIL)
    site.client.views[journey] = replace(HELD, id=journey, progress=progress, entry=entry)
    site.client.contacts[EVIL] = WHY.model_copy(update={"contact": EVIL, "caps": None})
    await site.sign_in("read", "operate", "publish")
    asked = f"scenario=sale&step={'%3Cscript%3E%22'}"
    for address in (
        *("/", "/scenarios", "/destinations", to_destination(EVIL), "/scenarios/sale", "/journeys"),
        *(f"/journeys?{asked}&contact=%22%3E%3Cscript%3E", to_journey(journey)),
        *(to_contact(EVIL), "/held", f"/held?{asked}", "/operations", "/operations/op1", "/operations/op1/stop"),
        *("/deliveries", f"/deliveries?{asked}&destination=%22%3E%3Cimg%3E", "/preview?version=%22%3E%3Cscript%3E"),
        *("/destinations/retune?destination=%22%3E%3Cscript%3E", "/sign-in?next=%22%3E%3Cscript%3E"),
    ):
        answer = await site.browser.get(address)
        if answer.status_code == 303:
            continue  # to sign in, where one is signed in
        shown = Document(answer)  # which has no script of its own, nor attributes that run one
        assert shown.status in (200, 404), address
        assert {one.split("/")[1] for one in shown.values("img", "src")} == {"static"}, address
        assert {one[:1] for one in shown.values("main a", "href")} <= {"/", "#", "h"}, address
        assert "<script>alert" not in shown.html, address


@pytest.fixture
async def limited(site: Site, temporal: Search) -> Site:
    """Somebody with a key for the scenario 'mine', where 'sale' is there as well."""
    await publish(site.store)
    await site.store.publish("mine", {"trigger": "segment"}, {}, "digest")
    await admit(site.store, "sale/7", "7")
    temporal.add("sale/7", ScenarioName="sale", StepId="hook", JourneyState="held")
    await site.store.record([attempt("sale/7", "hook", "failed", contact_id="7")])
    await begin(site, "op1", item(0), request={"which": {"scenario": "sale", "step": "hook"}})
    await begin(site, "op2", item(0), request={"which": {"contact": "7"}})
    await begin(site, "op3", verb="retune", request={"which": {"destination": "wax"}})
    await site.store.add_campaign(stored_campaign("advent", scenario="sale"))
    site.client.views["sale/7"] = replace(HELD, id="sale/7")
    site.client.contacts["7"] = WHY
    await site.sign_in("read", "operate", "publish", scenarios=["mine"])
    return site


LISTS: list[str] = [
    *("/", "/scenarios", "/journeys", "/journeys?state=held", "/journeys?contact=7", "/journeys?step=hook"),
    *(
        "/held",
        "/held?destination=hooks.example.com",
        "/operations",
        "/campaigns",
        "/deliveries",
        "/deliveries?contact=7",
    ),
    *("/deliveries", "/deliveries?contact=7", "/deliveries?journey=sale/7&scenario=mine", "/preview"),
    "/deliveries?destination=hooks.example.com",
]


async def test_no_list_has_anything_of_other_scenarios(limited: Site):
    for address in LISTS:
        shown = await limited.get(address)
        assert "sale/7" not in [text for row in shown.texts("tbody tr") for text in row.split()]
        assert not any("sale" in text for text in shown.texts("main td, main th, main option, main section"))


ADDRESSES: list[str] = [
    *("/scenarios/sale", "/scenarios/sale?version=1", "/journeys/sale/7", "/journeys?scenario=sale"),
    *("/contacts/7", "/contacts/7?scenario=sale", "/held?scenario=sale", "/operations/op1", "/operations/op2"),
    *("/operations/op3", "/operations/nothing", "/campaigns/advent", "/campaigns/advent/stop", "/campaigns/nothing"),
    *("/held/operation?operation=retry&scenario=sale&step=hook", "/operations/op1/stop", "/destinations"),
    *("/scenarios/sale/leave", "/scenarios/sale/close", "/scenarios/sale/move", "/scenarios/-/publish?version=sale@1"),
    *("/preview?scenario=sale", "/preview?version=sale@1"),
    *("/destinations/retune?destination=hooks.example.com", "/destinations/hooks.example.com"),
    "/held/operation?operation=retry&destination=hooks.example.com",
]


async def test_no_address_leads_to_other_scenarios(limited: Site):
    for address in ADDRESSES:
        answer = await limited.browser.get(address)
        assert answer.status_code in (403, 404)
        assert "hook" not in Document(answer).text("main h1 + p")


async def test_what_the_form_in_the_header_finds_tells_nothing_of_other_scenarios(limited: Site):
    found = await limited.browser.get("/find?id=sale/7")
    nothing = await limited.browser.get("/find?id=sale/8")
    assert found.headers["location"].replace("7", "8") == nothing.headers["location"]
    told = (await limited.get(found.headers["location"], 404)).text()
    assert told.replace("7", "8") == (await limited.get(nothing.headers["location"], 404)).text()


FORMS: list[tuple[str, dict[str, str]]] = [
    *(("/journeys/sale/7", {"operation": one}) for one in ("retry", "skip", "leave", "pause", "resume")),
    *(("/held/operation", {"operation": one, "scenario": "sale", "step": "hook"}) for one in ("retry", "skip")),
    *((f"/scenarios/sale/{one}", {}) for one in ("close", "open", "pause", "resume", "leave", "move")),
    ("/operations/op1/stop", {}),
    ("/operations/op2/stop", {}),
    ("/destinations/retune", {"destination": "hooks.example.com", "maximum_attempts": "1"}),
    ("/preview", {"version": "sale@1"}),
    ("/preview/sample", {"version": "sale@1"}),
    ("/preview/send", {"version": "sale@1", "step": "hook"}),
]


async def test_no_form_operates_on_other_scenarios(limited: Site):
    for address, form in FORMS:
        token = (await limited.get("/preview")).token
        answer = await limited.browser.post(address, data={"token": token, **form, "reason": "mine", "sure": "yes"})
        assert answer.status_code in (403, 404, 409)
        assert limited.client.operated == []
