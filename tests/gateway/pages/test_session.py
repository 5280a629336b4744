"""Who gets to see a page, whose forms are taken, and that what others have made up is text on every page."""

import asyncio
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import pytest
from starlette.types import Message

from gateway.api.authentication import Keys
from gateway.api.limits import KeyPlaces
from gateway.pages.app import ROUTES, TRIES, Door, application
from gateway.pages.page import does
from gateway.pages.rendering import to_contact, to_destination, to_journey
from gateway.pages.session import begin as begin_session
from tests.factories import present, stored_campaign
from tests.gateway.api.conftest import http_scope
from tests.gateway.pages.conftest import SITE, Document, Site
from tests.gateway.pages.test_journeys import WHY, admit
from tests.gateway.pages.test_operations import begin, item
from tests.journey import ENTRY, HELD, PROGRESS, START
from tests.search import Search
from tests.service.test_stats import attempt, publish


async def test_nobody_sees_a_page_without_signing_in(site: Site):
    answer = await site.browser.get("/?scenario=a%26b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2F%3Fscenario%3Da%2526b")
    shown = await site.get(answer.headers["location"])
    assert shown.values("input[name=next]", "value") == ["/?scenario=a%26b"]
    assert shown.texts("nav") == []
    answer = await site.browser.get("/", headers={"hx-request": "true"})  # a live part sends the whole page there
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in")


async def test_a_link_from_elsewhere_finds_the_session_that_there_is(site: Site):
    """Its request comes without the cookie, which is for requests of this site alone."""
    answer = await site.browser.get('/?x="%3E<i>', headers={"sec-fetch-site": "cross-site"})
    shown = Document(answer)
    assert (shown.status, shown.values("main a", "href")) == (200, ["/?x=%22%3E%3Ci%3E"])
    assert shown.values("meta[http-equiv]", "content") == ["0; url=/?x=%22%3E%3Ci%3E"]
    again = await site.browser.get("/", headers={"sec-fetch-site": "same-origin"})
    assert (again.status_code, again.headers["location"]) == (303, "/sign-in")


async def test_a_key_begins_a_session(site: Site):
    token = await site.key("read")
    answer = await site.browser.post("/sign-in", data={"key": f" {token} ", "next": "/?x=1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?x=1")
    cookie = answer.headers["set-cookie"]
    assert len(cookie.partition(";")[0]) == len("session=") + 43  # 256 random bits
    assert "; HttpOnly; Max-Age=43200; Path=/; SameSite=strict" in cookie
    assert token.rpartition("_")[2] not in cookie
    assert site.keys[token] not in cookie
    assert (await site.get("/")).text("h1") == "Overview"


async def test_by_https_the_cookie_is_for_https_alone(site: Site):
    token = await site.key("read")
    answer = await site.browser.post("/sign-in", data={"key": token}, headers={"x-forwarded-proto": "https, http"})
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-session=")
    assert cookie.endswith("; Secure")
    assert (await site.browser.get("/")).status_code == 303  # by http: another cookie


async def test_what_is_no_key_begins_nothing(site: Site):
    for given in ("", "sr_nonsense", "sr_aaaaaaaa_" + "0" * 64):
        answer = await site.browser.post("/sign-in", data={"key": given})
        assert "set-cookie" not in answer.headers
        assert answer.status_code == 401
        shown = Document(answer)
        assert shown.text("[role=alert]").startswith("This key is not valid")
        assert shown.values("input[type=password]", "value") == [""]

    answer = await site.browser.post("/sign-in", data={"key": await site.key("enter", "operate")})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


async def test_signing_in_leads_nowhere_else_and_comes_from_nowhere_else(site: Site):
    token = await site.key("read")
    answer = await site.browser.post("/sign-in", data={"key": token}, headers={"sec-fetch-site": "cross-site"})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    for away in ("//evil.example.com", "https://evil.example.com", "/\\evil.example.com", "/\t/evil"):
        answer = await site.browser.post("/sign-in", data={"key": token, "next": away})
        assert answer.headers["location"] == "/"


@pytest.mark.parametrize("is_known", [False, True])
async def test_trying_keys_and_beginning_sessions_end_after_a_while(site: Site, is_known: bool):
    token = await site.key("read") if is_known else "sr_x"
    for _ in range(TRIES):
        answer = await site.browser.post("/sign-in", data={"key": token})
        assert answer.status_code == (303 if is_known else 401)
    answer = await site.browser.post("/sign-in", data={"key": token})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    # Who has another key is let in all the same: others may come from the same proxy.
    another = await site.key("read")
    assert (await site.browser.post("/sign-in", data={"key": another})).status_code == 303


async def test_a_session_ends_with_its_key(site: Site):
    name = await site.sign_in()
    await site.store.revoke_key(name, datetime.now(UTC))
    fresh = application(site.client, Keys(site.store))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(fresh), base_url=SITE) as browser:
        browser.cookies = site.browser.cookies
        assert (await browser.get("/")).status_code == 303


async def test_a_session_lasts_twelve_hours_is_deleted_and_cannot_be_made_up(site: Site, tmp_path: Path):
    keys = Keys(site.store)
    token = await site.key("read")
    key = present(await keys.verify(token))
    now = datetime.now(UTC)
    good = (await begin_session(keys, key, now - timedelta(hours=11, minutes=59))).value
    old = (await begin_session(keys, key, now - timedelta(hours=12))).value
    for value, status in ((good, 200), (old, 303), (good[:-1], 303), ("", 303), ("é", 303), (key.id, 303)):
        answer = await site.browser.get("/", headers=[(b"cookie", f"session={value}".encode())])
        assert answer.status_code == status, value
    await begin_session(keys, key, now)
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (2,), "the old one is deleted"


async def test_nothing_in_the_store_signs_in(reader: Site, tmp_path: Path):
    cookie = reader.browser.cookies["session"]
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        dump = "\n".join(connection.iterdump())
    assert 'INSERT INTO "sessions"' in dump
    assert cookie not in dump
    for value in {word.strip("'") for word in re.findall(r"'[^']+'|[\w-]{8,}", dump)}:
        if value.isprintable() and value.isascii() and ";" not in value:
            answer = await reader.browser.get("/", headers=[(b"cookie", f"session={value}".encode())])
            assert answer.status_code == 303, value


async def test_a_form_of_another_session_or_site_signs_nobody_out(reader: Site):
    mine = (await reader.get("/")).token
    stranger = "0" * 64
    for token, headers in (
        (stranger, {}),
        ("", {}),
        (mine, {"sec-fetch-site": "cross-site"}),
        (mine, {"sec-fetch-site": "same-site"}),
        (mine, {"origin": "https://evil.example.com"}),
        (mine, {"origin": "null"}),
    ):
        answer = await reader.browser.post("/sign-out", data={"token": token}, headers=headers)
        assert answer.status_code == 403, (token, headers)
        assert "this form belongs to another session" in Document(answer).html.lower()
    for came, back in (  # it leads back to its form, and nowhere else
        (f"{SITE}/held?scenario=a", "/held?scenario=a"),
        (f"{SITE}//evil.example.com/", "/"),
        ("https://evil.example.com/", "/"),
    ):
        answer = await reader.browser.post("/sign-out", data={"token": "x"}, headers={"referer": came})
        assert Document(answer).values("main a", "href") == [back]
    copied = reader.browser.cookies["session"]
    shown = await reader.send("/sign-out", {}, page="/")
    assert shown.text("h1") == "Sign in"
    for value in ("", copied):  # the session has ended for every copy of its cookie
        answer = await reader.browser.get("/", headers=[(b"cookie", f"session={value}".encode())])
        assert answer.status_code == 303


async def test_a_door_signs_in_who_knows_its_address(site: Site):
    token = await site.key("read", "operate")
    app = application(site.client, Keys(site.store), door=Door("opensesame", site.keys[token]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=SITE) as browser:
        assert (await browser.get("/open/opensesam")).status_code == 404
        answer = await browser.get("/open/opensesame")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert (await browser.get("/")).status_code == 200
    assert (await site.browser.get("/open/opensesame")).status_code == 404


async def test_errors_are_pages_without_a_word_of_the_request(reader: Site):
    nobody = await reader.get("/no/such/<script>page", status=404)
    assert "There is no page at this address." in nobody.text()
    assert "script&gt;page" not in nobody.html
    wrong = Document(await reader.browser.put("/"))
    assert (wrong.status, "openapi" in wrong.html) == (405, False)
    large = Document(await reader.browser.post("/sign-in", content=b"x" * 2_000_000))
    assert (large.status, large.text("h1")) == (413, "The request is too large")


async def test_what_goes_wrong_here_is_told_without_details(site: Site, caplog: pytest.LogCaptureFixture):
    async def do(_page: object, _form: object) -> object:
        raise RuntimeError("secret thing")

    site.add(does("/do", do))  # pyright: ignore[reportArgumentType]
    await site.sign_in("read")
    assert "lacks the scope 'operate'" in (await site.send("/do", {}, page="/", status=403)).text()
    await site.sign_in()
    shown = await site.send("/do", {}, page="/", status=500)
    assert "secret" not in shown.html
    assert "secret" not in caplog.text
    assert "RuntimeError at" in caplog.text
    assert shown.values("main a", "href") == ["/"]


async def test_files_are_kept_for_as_long_as_they_are_the_same(reader: Site):
    page = await reader.get("/")
    assert page.headers["cache-control"] == "no-store"
    (script,) = page.values("script", "src")
    for address in (*page.values("link", "href"), script):
        file = await reader.browser.get(address)
        assert file.status_code == 200
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert file.headers["x-content-type-options"] == "nosniff"
    other = await reader.browser.get(script.replace(script.split("/")[2], "old"))
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-cache")
    assert (await reader.browser.get("/static/x/../app.py")).status_code == 404
    assert (await reader.browser.get("/static/x/app.py")).status_code == 404


FORMS = sorted(
    {str(getattr(route, "path", "")) for route in ROUTES if "POST" in (getattr(route, "methods", None) or ())}
    - {"/sign-in", "/sign-out", "/preview", "/preview/sample"}  # which need no more than reading
)


async def ask(site: Site, path: str, asked: asyncio.Event) -> int:
    cookies = "; ".join(f"{name}={value}" for name, value in site.browser.cookies.items())
    headers = {"cookie": cookies, "origin": SITE, "content-type": "application/x-www-form-urlencoded"}
    status = 0

    async def receive() -> Message:
        asked.set()
        await asyncio.Event().wait()
        return {}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    await site.app(http_scope("POST", path, headers), receive, send)
    return status


async def test_a_key_that_may_only_read_is_refused_before_its_form_arrives(reader: Site):
    asked = asyncio.Event()
    for path in FORMS:
        assert await ask(reader, path.replace("{", "").replace(":path}", "").replace("}", ""), asked) == 403, path
    assert FORMS
    assert not asked.is_set()


async def test_slow_forms_take_the_places_of_their_key_alone(site: Site):
    site.app.state.keys.places = KeyPlaces(2)
    await site.sign_in("read")
    slow: list[asyncio.Task[int]] = []
    for _ in range(2):
        asked = asyncio.Event()
        slow.append(asyncio.create_task(ask(site, "/preview", asked)))
        await asked.wait()
    refused = await site.get("/preview", 429)
    assert "This key has 2 requests in progress" in refused.text()
    await site.sign_in("read")
    await site.get("/preview")
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


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
    *("/", "/scenarios", "/journeys", "/journeys?state=held", "/journeys?contact=7", "/journeys?step=hook", "/held"),
    *("/held?destination=hooks.example.com", "/operations", "/campaigns", "/deliveries", "/deliveries?contact=7"),
    *("/deliveries?journey=sale/7&scenario=mine", "/preview", "/deliveries?destination=hooks.example.com"),
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


POSTED: list[tuple[str, dict[str, str]]] = [
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
    for address, form in POSTED:
        token = (await limited.get("/preview")).token
        answer = await limited.browser.post(address, data={"token": token, **form, "reason": "mine", "sure": "yes"})
        assert answer.status_code in (403, 404, 409)
        assert limited.client.operated == []
