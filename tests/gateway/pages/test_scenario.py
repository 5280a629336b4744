"""The pages of scenarios: published, with their maps and results, and operations on their journeys."""

from collections.abc import AsyncIterator
from html import unescape

import pytest
from temporalio.service import RPCStatusCode

from gateway.pages.scenario_operations import AT
from runtime.store import Store
from tests.factories import LATER_DOCUMENT, LATER_PLAN, admission_request
from tests.gateway.pages.conftest import SITE, Document, Site, visited
from tests.gateway.pages.test_journeys import admit
from tests.gateway.pages.test_preview import Here
from tests.search import Search
from tests.service.test_stats import SALE, publish

RULED = """
scenario: sale
trigger: order
entry: {key: "{{ order.external_id }}", again: never, if: 'order.note != "<script>"'}
exit: [{event: order.returned, if: event.id == 7}, {event: contact.gone}]
goal: {event: order.placed, within: 14d, value: "{{ event.total }}"}
control: 10
subscription: {email: 51}
quiet_hours: {from: "21:00", to: "08:00"}
timezone: Europe/Paris
steps:
  - email: mail
    subject: Other
    text: Hi
  - wait: 2d
    id: wait-2
  - sms: bye
    text: Hi
"""


async def test_addresses_that_make_no_sense_are_refused_in_words(site: Site):
    await publish(site.store)
    await site.sign_in("read")
    assert "There is nothing to compare without a goal." in (await site.get("/scenarios/sale/results")).text()
    for wrong in ("?version=9", "?version=x", "?compare=0"):
        assert "There is no version" in (await site.get(f"/scenarios/sale{wrong}", 404)).text()
    for nothing in ("/scenarios/nothing", "/scenarios/sale/trends?version=7"):
        await site.get(nothing, 404)
    refused = await site.get("/scenarios/sale/results?since=soon", 422)
    assert "neither a time nor a duration" in refused.text("#since-wrong")
    assert (refused.values("#since", "value"), refused.texts("h2, table")) == (["soon"], [])
    await site.sign_in("read", scenarios=["b"])
    await site.get("/scenarios/sale/results", 403)


async def test_a_version_of_a_later_release_is_shown_as_one(reader: Site):
    await reader.store.publish("later", LATER_DOCUMENT, LATER_PLAN, "digest")
    for address in ("", "?version=1", "/results", "/trends"):
        shown = await reader.get(f"/scenarios/later{address}", 422)
        assert "later@1 was published by a later release of this program: update it" in shown.text()


async def test_without_search_the_page_says_what_is_not_known(reader: Site, temporal: Search):
    await publish(reader.store)
    await admit(reader.store, "sale/1", "1")
    temporal.error = RPCStatusCode.UNIMPLEMENTED
    shown = await reader.get("/scenarios/sale")
    assert "The Temporal server has no search: who stands where is not known." in shown.text()
    assert shown.rows("People per step")[0][3:6:2] == ["?", "?"]
    home = await reader.get("/scenarios")
    assert "The number of held journeys is not known" in home.text()


NEXT = SALE.replace("- wait: 2d", "- wait: 3d\n    id: pause").replace("subject: Hi", "subject: Hello")


async def test_journeys_are_moved_after_a_look_at_who_can_move(site: Site, temporal: Search):
    await publish(site.store)
    await publish(site.store, NEXT)
    for name, state, step in (("a", "waiting", "wait-2"), ("b", "held", "hook"), ("c", "held", "hook"), ("d", "", "")):
        await site.store.admit(admission_request(name, "sale", workflow_id=f"sale/{name}", version=1))
        if state:
            known = {"ScenarioName": "sale", "ScenarioVersion": "sale@1", "JourneyState": state, "StepId": step}
            temporal.add(f"sale/{name}", **known)
    name = await site.sign_in()
    shown = await site.get("/scenarios/sale?done=publish")
    assert shown.text("[role=status]").endswith("4 journeys run in earlier versions: move them .")
    look = await site.get("/scenarios/sale/move")
    assert look.texts(".facts div") == ["Running 4", "Can move 3", "Cannot move 1"]
    assert look.rows("Journeys of version 1") == [
        ["wait-2", "waiting", "1", "no", "is gone: map it, for example to pause"],
        ["hook", "held", "2", "yes", "stays"],
        ["between steps", "", "1", "yes", "each journey decides"],
    ]
    assert look.texts("#map-wait-2 option") == ["(they stay in their version)", "pause"]
    form = {"to": "2", "map-wait-2": "pause", "waits": "restart", "rate": "50"}
    again = await site.send("/scenarios/sale/move", {**form, "reason": ""}, status=422)
    assert again.values("option[selected]", "value") == ["pause", "restart"]
    await site.send("/scenarios/sale/move", {**form, "reason": "a better text"})
    (begun,) = await site.store.stored_operations()
    assert (begun.verb, begun.operator, begun.reason) == ("migrate", f"key {name}", "a better text")
    assert begun.request["which"] == {"scenario": "sale"}
    assert begun.request["more"] == {"version": 2, "map": {"wait-2": "pause"}, "waits": "restart"}


@pytest.fixture
async def sale(site: Site, temporal: Search) -> None:
    """Three journeys of a version, one of them paused, and one of the next version."""
    for version, states in enumerate((("waiting", "held", "paused"), ("waiting",)), 1):
        await publish(site.store, SALE.replace("subject: Hi", f"subject: Hi {version}"))
        for state in states:
            name = f"sale/{version}-{state}"
            await site.store.admit(admission_request(name, "sale", workflow_id=name, version=version))
            known = {"ScenarioName": "sale", "ScenarioVersion": f"sale@{version}", "JourneyState": state}
            temporal.add(name, StepId="wait-2", **known)


@pytest.mark.usefixtures("sale")
async def test_a_scenario_is_closed_for_a_reason_and_opened_again(site: Site):
    name = await site.sign_in()
    refused = await site.send("/scenarios/sale/close", {"reason": " "}, status=422)
    assert len(refused.texts("[role=alert]")) == 1
    shown = await site.send("/scenarios/sale/close", {"reason": "sold <out>"})
    assert f"by key {name}: sold <out>" in shown.text("p.warn")
    assert "/scenarios/sale/open" in shown.values(".actions a", "href")
    assert "sale is closed already." in (await site.get("/scenarios/sale/close")).text()
    await site.send("/scenarios/sale/open", {})
    assert await site.store.closure("sale") is None
    assert (await site.get("/scenarios/sale?done=open")).texts("[role=status]")
    assert not (await site.get("/scenarios/sale?done=close")).texts("[role=status]"), "somebody has opened it since"


@pytest.mark.parametrize(
    ("change", "counted", "of_versions"),
    [
        ("pause", "3 journeys", ["all", "2 (1)", "1 (2)"]),
        ("resume", "1 journey", ["all", "2 (0)", "1 (1)"]),
        ("leave", "4 journeys", ["all", "2 (1)", "1 (3)"]),
    ],
)
@pytest.mark.usefixtures("sale")
async def test_all_journeys_or_those_of_a_version_are_operated(
    site: Site, change: str, counted: str, of_versions: list[str]
):
    address = f"/scenarios/sale/{change}"
    name = await site.sign_in()
    look = await site.get(address)
    assert look.text(".facts dd") == counted
    assert look.texts("#version option") == of_versions
    form = {"reason": "stock is out", "rate": "50", "sure": "yes"}
    for version, which in (("", {"scenario": "sale"}), ("1", {"scenario": "sale", "version": 1})):
        await site.send(address, {**form, "version": version})
        begun = (await site.store.stored_operations())[0]
        assert (begun.verb, begun.operator, begun.reason) == (change, f"key {name}", "stock is out")
        assert (begun.request["which"], begun.request["rate"]) == (which, 50.0)
        assert begun.request["everybody"] is (change == "leave")
    if change == "leave":
        await site.send(address, {**form, "sure": ""}, status=422)
        assert len(await site.store.stored_operations()) == 2


EDITED = SALE.replace("subject: Hi", "subject: Hello").replace("wait: 2d", "wait: 3d")


@pytest.fixture
async def editor(store: Store) -> AsyncIterator[Site]:
    await publish(store)
    async with visited(Search(), store, Here()) as site:
        yield site


async def upload(editor: Site, form: dict[str, str], *files: tuple[str, str, bytes], status: int = 200) -> Document:
    """Sends the form with files: pairs of field and name, and bytes."""
    data = {"token": (await editor.get(AT)).token, **form}
    sent = [(field, (name, content)) for field, name, content in files]
    answer = await editor.browser.post(AT, data=data, files=sent, headers={"origin": SITE})
    assert answer.status_code == status, answer.text[:2000]
    return Document(answer)


async def test_a_version_is_checked_compared_and_published(editor: Site):
    name = await editor.sign_in("read", "publish")
    look = await upload(editor, {"source": "kept"}, ("file", "sale.yaml", EDITED.encode()))
    assert look.text("#results h2") == "sale after sale@1"
    assert look.texts("#results li") == ["changed mail : subject", "changed wait-2 : wait"]
    assert look.text("svg").count("changed")
    assert await editor.store.newest("sale") == 1  # so far, nothing is stored
    form = {"source": look.text("#source"), "identity": look.values("[name=identity]", "value")[0], "do": "publish"}
    form |= {"source": EDITED.replace("\n", "\r\n"), "journeys": "follow"}  # as browsers send lines
    shown = await editor.send(AT, form)
    assert shown.text("[role=status]") == "sale@2 is the newest version. New journeys use it."
    (newest, _) = await editor.store.version_summaries("sale")
    assert (newest.published_by, newest.journeys) == (f"key {name}", "follow")


async def test_nothing_is_published_that_was_not_compared(editor: Site):
    await editor.sign_in("read", "publish")
    look = await editor.send(AT, {"source": EDITED}, status=200)
    form = {"source": EDITED, "identity": look.values("[name=identity]", "value")[0], "do": "publish"}
    await publish(editor.store, SALE.replace("wait: 2d", "wait: 5d"))
    again = await editor.send(AT, form, status=409)
    assert again.text("[role=alert]").endswith("look at the differences below.")
    assert again.text("#results h2") == "sale after sale@2"
    await editor.send(AT, form | {"identity": again.values("[name=identity]", "value")[0]})
    (link,) = [one for one in (await editor.get("/scenarios/sale?version=1")).values(".actions a", "href") if AT in one]
    back = await editor.get(link)  # what was published first becomes the newest again
    form |= {
        "source": unescape(back.html.split('autocomplete="off">\n')[1].split("</textarea>")[0]),
        "identity": back.values("[name=identity]", "value")[0],
    }
    await editor.send(AT, form)
    assert await editor.store.newest("sale") == 4


async def test_mistakes_are_shown_with_their_lines_and_the_text_is_kept(editor: Site):
    await editor.sign_in("read", "publish")
    source = SALE.replace("text: Hi", "text: {file: mails/hi.txt}").replace("wait: 2d", "wait: soon")
    page = await upload(editor, {"source": source}, status=422)
    (missing, wrong) = page.rows("Findings")
    assert missing[0] == "7:18"
    assert "'mails/hi.txt' cannot be read" in missing[2]
    assert (wrong[0], wrong[3]) == ("8:11", "- wait: soon")
    assert "wait: soon" in page.text("#source")
    mended = {"source": source.replace("soon", "3d")}
    page = await upload(editor, mended, ("files", "hi.txt", b"Hello there"))  # a browser sends no folder
    assert page.values("#path-0", "value") == ["mails/hi.txt"]
    assert await upload(editor, {**mended, "path-0": "mails/hi.txt", "text-0": "Hello there"})
    for file, said in ((b"\xff", "The file 'hi.txt' is not UTF-8"), (b"", "1 mistake")):
        page = await upload(editor, {**mended, "path-0": "a", "text-0": "b"}, ("files", "hi.txt", file), status=422)
        assert page.text("#text-0") == "b"
        assert page.text("[role=alert]").startswith(said)
    empty = await upload(editor, {"source": " "}, status=422)
    assert empty.text("#source-wrong") == "Choose a scenario file, or paste one."


async def test_only_a_key_with_its_scope_publishes_and_only_its_scenarios(editor: Site):
    await editor.sign_in("read", "operate")
    page = await editor.get(AT)
    assert (page.values("main form", "action"), "scope publish" in page.text()) == ([], True)
    await editor.sign_in("read", "publish", scenarios=["mine"])
    page = await editor.send(AT, {"source": SALE}, status=403)
    assert page.text("[role=alert]") == "This key is for other scenarios."
