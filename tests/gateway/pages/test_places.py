"""A form is read only if its sender may send it, and takes the places of its sender's key alone."""

from __future__ import annotations

import asyncio

from starlette.types import Message

from gateway.api.limits import KeyPlaces
from gateway.pages.app import ROUTES
from tests.gateway.api.conftest import http_scope
from tests.gateway.pages.conftest import SITE, Site

FORMS = sorted(
    {str(getattr(route, "path", "")) for route in ROUTES if "POST" in (getattr(route, "methods", None) or ())}
    - {"/sign-in", "/sign-out", "/preview", "/preview/sample"}  # which need no more than reading
)


async def ask(site: Site, path: str, asked: asyncio.Event) -> int:
    """Send a form that never arrives. Return the status."""
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


async def test_a_key_that_may_only_read_is_refused_before_its_form_arrives(site: Site) -> None:
    await site.sign_in("read")
    asked = asyncio.Event()
    for path in FORMS:
        assert await ask(site, path.replace("{", "").replace(":path}", "").replace("}", ""), asked) == 403, path
    assert FORMS
    assert not asked.is_set()


async def test_slow_forms_take_the_places_of_their_key_alone(site: Site) -> None:
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
