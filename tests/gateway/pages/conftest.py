"""Pages over a real store, as a browser without JavaScript sees them, and as no page may be."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from selectolax.lexbor import LexborHTMLParser
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from gateway.api.authentication import Keys
from gateway.pages.app import application, bounded
from runtime.api_keys import Scope
from runtime.store import Store
from scenario.entry.values import PlatformDates
from service.authoring_process import Authoring
from service.client import ScenarioClient
from service.errors import NotAccepted, NotFound
from service.journeys.snapshot import JourneySnapshot
from service.why.why import WhyView
from tests.factories import add_key
from tests.search import Search
from tests.stage import store

__all__ = ["store"]

SITE = "http://pages.example.com"


class Document:
    """An answer's HTML, which has to be as all pages have to be."""

    def __init__(self, answer: httpx.Response) -> None:
        self.status, self.headers, self.html = answer.status_code, answer.headers, answer.text
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["content-type"] == "text/html; charset=utf-8", answer.text
        self._tree = LexborHTMLParser(answer.text)
        well_formed(self._tree)

    def text(self, selector: str = "main") -> str:
        """What stands in the first such element, in one line."""
        (found, *_) = self._tree.css(selector)
        return " ".join(found.text(separator=" ").split())

    def texts(self, selector: str) -> list[str]:
        """What stands in each of them."""
        return [" ".join(one.text(separator=" ").split()) for one in self._tree.css(selector)]

    def values(self, selector: str, attribute: str) -> list[str]:
        return [one.attributes.get(attribute) or "" for one in self._tree.css(selector)]

    def rows(self, caption: str) -> list[list[str]]:
        for table in self._tree.css("table"):
            (title,) = table.css("caption")
            if title.text(strip=True) == caption:
                return [
                    [" ".join(cell.text(separator=" ").split()) for cell in row.css("th, td")]
                    for row in table.css("tbody tr")
                ]
        raise AssertionError(f"no table '{caption}'")

    @property
    def token(self) -> str:
        return self.values("input[name=token]", "value")[0]


def well_formed(tree: LexborHTMLParser) -> None:
    """Makes sure of what holds for all pages: nothing inline, each id once, each field with a label."""
    assert tree.css("style") == []
    ids: list[str] = []
    for element in tree.css("*"):
        for name, value in element.attributes.items():
            assert name != "style", element.html
            assert not re.match(r"on|hx-on|data-hx-on", name), element.html
            assert not re.match(r"\s*javascript:", value or "", re.IGNORECASE), element.html
            ids += [value or ""] if name == "id" else []
    assert len(ids) == len(set(ids)), ids
    for script in tree.css("script"):
        assert script.attributes["src"], "an inline script"
        assert not script.text(strip=True)
    for of in tree.css("label"):
        assert of.attributes["for"] in ids
    labelled = {label.attributes["for"] for label in tree.css("label")}
    for name in tree.css("input:not([type=hidden]), select, textarea"):
        assert name.attributes.get("id") in labelled or name.attributes.get("aria-label"), name.html
    assert len(tree.css("h1")) == 1
    assert len(tree.css("main")) == 1


class Looking(ScenarioClient):
    """A client with journeys and contacts of the test's own, which notes what operators do."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.views: dict[str, JourneySnapshot] = {}
        self.contacts: dict[str, WhyView] = {}
        self.operated: list[tuple[str, str, dict[str, Any]]] = []
        self.refusal = ""
        self.asked: dict[str, Any] = {}
        self.services.operations.journeys.send = self._noted

    async def look(self, _temporal: object, _store: object, journey: str, _run: str | None) -> JourneySnapshot:
        if journey not in self.views:
            raise NotFound(f"there is no journey '{journey}': list the journeys to find its id")
        return self.views[journey]

    async def explain(
        self, _temporal: object, _store: object, contact: str, scenarios: Collection[str | None], **asked: Any
    ) -> WhyView:
        self.asked = asked
        if contact not in self.contacts:
            raise NotFound(f"nothing is on record of a contact '{contact}': it has never entered")
        known, page = self.contacts[contact], asked["page"]
        entries = [one for one in known.entries if {None, one.scenario.partition("@")[0]} & {*scenarios}]
        if not entries:
            raise NotFound(f"contact {contact} has no entries in {scenarios}")
        return known.model_copy(update={"entries": entries[: page.limit]})

    async def _noted(self, journey: str, operation: str, update_id: str | None = None, **given: Any) -> dict[str, Any]:
        del update_id
        if self.refusal:
            raise NotAccepted(journey, self.refusal)
        self.operated.append((journey, operation, {key: value for key, value in given.items() if value is not None}))
        return {}


@dataclass
class Site:
    """The pages, and somebody who looks at them."""

    store: Store
    client: Looking
    app: Starlette
    browser: httpx.AsyncClient
    keys: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, route: BaseRoute) -> None:
        self.app.router.routes.append(route)

    async def key(self, *scopes: Scope, **more: Any) -> str:
        token, name = await add_key(self.store, *scopes, **more)
        self.keys[token] = name
        return token

    async def sign_in(self, *scopes: Scope, **more: Any) -> str:
        """Signs in with a new key; returns its id."""
        token = await self.key(*scopes or ("read", "operate"), **more)
        answer = await self.browser.post("/sign-in", data={"key": token})
        assert answer.status_code == 303
        return self.keys[token]

    async def get(self, address: str, status: int = 200) -> Document:
        answer = await self.browser.get(address)
        assert answer.status_code == status, (answer.status_code, answer.headers, answer.text[:2000])
        return Document(answer)

    async def column(self, address: str, caption: str, number: int = 0) -> list[str]:
        """What stands in a column of a list, over all of its pages."""
        read = list[str]()
        while address:
            page = await self.get(address)
            read += [row[number] for row in page.rows(caption)]
            address = next(iter(page.values(".older a", "href")), "")
        return read

    async def send(self, address: str, form: dict[str, str], status: int = 303, page: str | None = None) -> Document:
        """Sends a form of a page as a browser does, and follows to what comes of it."""
        token = (await self.get(page or address)).token
        headers = {"origin": SITE, "referer": SITE + (page or address), "sec-fetch-site": "same-origin"}
        answer = await self.browser.post(address, data={"token": token, **form}, headers=headers)
        assert answer.status_code == status, (answer.status_code, answer.text[:2000])
        return await self.get(answer.headers["location"]) if status == 303 else Document(answer)


@pytest.fixture
def temporal() -> Search:
    return Search()


@asynccontextmanager
async def visited(
    temporal: Search, store: Store, authors: Authoring | None = None, **more: Any
) -> AsyncGenerator[Site]:
    """The pages, with these options."""
    client = Looking(temporal.client, store, PlatformDates("Europe/Paris"))
    app = application(client, Keys(store), authors, **more)
    transport = httpx.ASGITransport(bounded(app), raise_app_exceptions=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.journeys.service.snapshot", SimpleNamespace(read=client.look))
        patch.setattr("service.journeys.service.why", client.explain)
        async with httpx.AsyncClient(transport=transport, base_url=SITE) as browser:
            yield Site(store, client, app, browser)


@pytest.fixture
async def site(store: Store, temporal: Search) -> AsyncIterator[Site]:
    async with visited(temporal, store, temporal_ui="http://temporal.example.com") as site:
        yield site


@pytest.fixture
async def reader(site: Site) -> Site:
    await site.sign_in("read")
    return site


@pytest.fixture
async def operator(site: Site) -> Site:
    await site.sign_in()
    return site
