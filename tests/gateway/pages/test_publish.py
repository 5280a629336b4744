"""The page that checks, compares and publishes a scenario."""

from collections.abc import AsyncIterator
from html import unescape

import pytest

from gateway.pages.scenario_operations import AT
from runtime.store import Store
from tests.gateway.pages.conftest import SITE, Document, Site, visited
from tests.gateway.pages.test_preview import Here
from tests.gateway.search import Search
from tests.gateway.service.test_stats import SALE, publish

NEXT = SALE.replace("subject: Hi", "subject: Hello").replace("wait: 2d", "wait: 3d")


@pytest.fixture
async def site(store: Store) -> AsyncIterator[Site]:
    await publish(store)
    async with visited(Search(), store, Here()) as site:
        yield site


async def upload(site: Site, form: dict[str, str], *files: tuple[str, str, bytes], status: int = 200) -> Document:
    """Sends the form with files: pairs of field and name, and bytes."""
    data = {"token": (await site.get(AT)).token, **form}
    sent = [(field, (name, content)) for field, name, content in files]
    answer = await site.browser.post(AT, data=data, files=sent, headers={"origin": SITE})
    assert answer.status_code == status, answer.text[:2000]
    return Document(answer)


async def test_a_version_is_checked_compared_and_published(site: Site):
    name = await site.sign_in("read", "publish")
    look = await upload(site, {"source": "kept"}, ("file", "sale.yaml", NEXT.encode()))
    assert look.text("#results h2") == "sale after sale@1"
    assert look.texts("#results li") == ["changed mail : subject", "changed wait-2 : wait"]
    assert look.text("svg").count("changed")
    assert await site.store.newest("sale") == 1  # so far, nothing is stored
    form = {"source": look.text("#source"), "identity": look.values("[name=identity]", "value")[0], "do": "publish"}
    form |= {"source": NEXT.replace("\n", "\r\n"), "journeys": "follow"}  # as browsers send lines
    shown = await site.send(AT, form)
    assert shown.text("[role=status]") == "sale@2 is the newest version. New journeys use it."
    (newest, _) = await site.store.version_summaries("sale")
    assert (newest.published_by, newest.journeys) == (f"key {name}", "follow")


async def test_nothing_is_published_that_was_not_compared(site: Site):
    await site.sign_in("read", "publish")
    look = await site.send(AT, {"source": NEXT}, status=200)
    form = {"source": NEXT, "identity": look.values("[name=identity]", "value")[0], "do": "publish"}
    await publish(site.store, SALE.replace("wait: 2d", "wait: 5d"))
    again = await site.send(AT, form, status=409)
    assert again.text("[role=alert]").endswith("look at the differences below.")
    assert again.text("#results h2") == "sale after sale@2"
    await site.send(AT, form | {"identity": again.values("[name=identity]", "value")[0]})
    (link,) = [one for one in (await site.get("/scenarios/sale?version=1")).values(".actions a", "href") if AT in one]
    back = await site.get(link)  # what was published first becomes the newest again
    form |= {
        "source": unescape(back.html.split('autocomplete="off">\n')[1].split("</textarea>")[0]),
        "identity": back.values("[name=identity]", "value")[0],
    }
    await site.send(AT, form)
    assert await site.store.newest("sale") == 4


async def test_mistakes_are_shown_with_their_lines_and_the_text_is_kept(site: Site):
    await site.sign_in("read", "publish")
    source = SALE.replace("text: Hi", "text: {file: mails/hi.txt}").replace("wait: 2d", "wait: soon")
    page = await upload(site, {"source": source}, status=422)
    (missing, wrong) = page.rows("Findings")
    assert missing[0] == "7:18"
    assert "'mails/hi.txt' cannot be read" in missing[2]
    assert (wrong[0], wrong[3]) == ("8:11", "- wait: soon")
    assert "wait: soon" in page.text("#source")
    mended = {"source": source.replace("soon", "3d")}
    page = await upload(site, mended, ("files", "hi.txt", b"Hello there"))  # a browser sends no folder
    assert page.values("#path-0", "value") == ["mails/hi.txt"]
    assert await upload(site, {**mended, "path-0": "mails/hi.txt", "text-0": "Hello there"})
    for file, said in ((b"\xff", "The file 'hi.txt' is not UTF-8"), (b"", "1 mistake")):
        page = await upload(site, {**mended, "path-0": "a", "text-0": "b"}, ("files", "hi.txt", file), status=422)
        assert page.text("#text-0") == "b"
        assert page.text("[role=alert]").startswith(said)
    empty = await upload(site, {"source": " "}, status=422)
    assert empty.text("#source-wrong") == "Choose a scenario file, or paste one."


async def test_only_a_key_with_its_scope_publishes_and_only_its_scenarios(site: Site):
    await site.sign_in("read", "operate")
    page = await site.get(AT)
    assert (page.values("main form", "action"), "scope publish" in page.text()) == ([], True)
    await site.sign_in("read", "publish", scenarios=["mine"])
    page = await site.send(AT, {"source": SALE}, status=403)
    assert page.text("[role=alert]") == "This key is for other scenarios."
