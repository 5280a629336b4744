"""Every page in a real browser: it works by mouse, by keyboard, and without its script; and Temporal's UI."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, Page, expect

from gateway.pages.rendering import to_contact, to_journey, to_scenario
from tests.e2e.conftest import ENCRYPTED
from tests.e2e.pages.conftest import AXE, PATIENCE, SECRET, Place, Visits

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPILL = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
SCRIPTS = [AXE] if AXE.exists() else []
BEYOND_KEYS = """() => [...document.querySelectorAll(
    'a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex="0"]'
)].filter(one => one.checkVisibility()).filter(one => {
    one.focus()
    const box = one.matches('.map a') ? one.querySelector('.box') : null
    const shown = box ? getComputedStyle(box).strokeWidth === '3px' : getComputedStyle(one).outlineStyle !== 'none'
    return document.activeElement !== one || one.tabIndex !== 0 || !shown
}).map(one => one.outerHTML.slice(0, 150))"""
"""What Tab does not come to, or comes to without showing it."""
RULES: Mapping[Literal["light", "dark"], Mapping[str, Any]] = {
    "light": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    "dark": {"type": "rule", "values": ["color-contrast"]},
}
"""What axe looks at. In the dark, only what may be different there."""
DARK = ("scenario-held", "journey-held", "held-operation", "deliveries", "preview")
"""Pages that it looks at in the dark, too: between them they have every colour."""


def pages(place: Place) -> Mapping[str, str]:
    held = place.held["held-look"][0]
    return {
        "overview": "/",
        "scenarios": "/scenarios",
        "scenario": to_scenario("post-purchase"),
        "scenario-held": to_scenario("held-look"),
        "publish": "/scenarios/-/publish",
        "scenario-leave": f"{to_scenario('post-purchase')}/leave",
        "trends": f"{to_scenario('post-purchase')}/trends",
        "journeys": "/journeys",
        "journey-waiting": to_journey(place.waiting),
        "journey-held": to_journey(held),
        "journey-finished": to_journey(place.finished),
        "contact": to_contact("3028687"),
        "held": "/held",
        "held-operation": "/held/operation?operation=retry&scenario=held-look&step=hook",
        "operations": "/operations",
        "campaigns": "/campaigns",
        "campaign-new": "/campaigns/-/new",
        "erasures": "/erasures",
        "results": f"{to_scenario('over')}/results",
        "deliveries": "/deliveries",
        "batches": "/batches",
        "audiences": "/audiences",
        "outgoing": "/outgoing",
        "destinations": "/destinations",
        "destination": "/destinations/held-look.example.com",
        "destinations-retune": "/destinations/retune?destination=held-look.example.com",
        "preview": "/preview?version=post-purchase@1",
        "problem": "/problem",
    }


async def test_every_page_is_whole_on_a_screen_and_a_phone_by_mouse_and_keyboard(place: Place, visit: Visits) -> None:
    wrong: list[str] = []
    async with visit(scripts=SCRIPTS) as visitor:
        for name, path in pages(place).items():
            await visitor.page.set_viewport_size({"width": 1280, "height": 900})
            await visitor.page.emulate_media(color_scheme="light")
            await visitor.go(path, 404 if name == "problem" else 200)
            if name == "preview":  # what is looked at is what comes of it: it shows whom its entry is about
                await visitor.page.get_by_role("button", name="Preview", exact=True).click()
                await visitor.page.locator("li.step").first.wait_for()
            elif SECRET in (content := await visitor.page.content()) or "Zoé" in content:
                wrong.append(f"{name} shows who a contact is")
            await visitor.page.keyboard.press("Tab")  # from now on, the browser shows where the focus is
            wrong += [f"{name}, by keyboard: {one}" for one in await visitor.page.evaluate(BEYOND_KEYS)]
            wrong += [f"{name}, {one}" for one in await _axe(visitor.page, dark=name in DARK)]
            await visitor.page.set_viewport_size({"width": 360, "height": 740})
            if spill := await visitor.page.evaluate(SPILL):
                wrong.append(f"{name} is {spill} pixels too wide for a phone")
    assert wrong == [], "\n".join(wrong)
    if not AXE.exists():
        pytest.skip("all but axe-core looked, which is not installed: npm ci --prefix tests/node --ignore-scripts")


async def _axe(page: Page, *, dark: bool = False) -> list[str]:
    wrong: list[str] = []
    if not AXE.exists():
        return wrong
    for scheme, rules in RULES.items():
        if scheme == "dark" and not dark:
            continue
        await page.emulate_media(color_scheme=scheme)
        found: list[dict[str, Any]] = await page.evaluate(
            "async runOnly => (await axe.run(document, {resultTypes: ['violations'], runOnly})).violations", rules
        )
        wrong += [f"{scheme}: {rule['id']}: {node['html'][:200]}" for rule in found for node in rule["nodes"]]
    return wrong


async def test_a_held_journey_is_retried_by_keyboard_alone(place: Place, visit: Visits) -> None:
    journey, _ = place.held["held-keys"]
    async with visit(signed_in=False, scripts=SCRIPTS) as visitor:
        await visitor.go(to_journey(journey))
        keyboard = visitor.page.keyboard
        await expect(visitor.page.get_by_label("Your key")).to_be_focused()
        assert await _axe(visitor.page) == []
        await keyboard.type(place.stack.access.key)
        await keyboard.press("Enter")
        await expect(visitor.page).to_have_url(place.url + to_journey(journey))
        await keyboard.press("Tab")  # the way past what is on every page
        await expect(visitor.page.get_by_role("link", name="Skip to the content")).to_be_focused()
        await keyboard.press("Enter")
        summary = visitor.page.locator("summary", has_text="Retry")
        for _ in range(50):
            await keyboard.press("Tab")
            if await summary.evaluate("element => element === document.activeElement"):
                break
        await keyboard.press("Enter")
        await visitor.tab_to("Reason", "textbox")
        await keyboard.type("mended, by keyboard")
        await keyboard.press("Enter")
        await expect(visitor.page.get_by_role("status").first).to_be_visible()
        assert await place.outcome(journey) == "finished"


@pytest.mark.parametrize(("scenario", "script"), [("held-forms", False), ("held-script", True)])
async def test_held_journeys_are_retried_by_clicking_with_the_script_and_without(
    place: Place, visit: Visits, scenario: str, script: bool
) -> None:
    async with visit(java_script_enabled=script, scripts=SCRIPTS if script else []) as visitor:
        await visitor.page.get_by_role("link", name="Held", exact=True).click()
        group = visitor.page.locator("section.group", has=visitor.page.get_by_role("link", name=scenario, exact=True))
        await group.get_by_role("link", name="Retry all…").click()
        await visitor.page.get_by_label("Reason").fill("mended, by mouse")
        await visitor.page.get_by_role("button", name="Retry 2 journeys").click()
        await expect(visitor.page.get_by_role("heading", level=1)).to_have_text("Retry journeys")
        for journey in place.held[scenario]:
            assert await place.outcome(journey) == "finished"
        if not script:
            await visitor.page.reload()
        await expect(visitor.page.locator("dl.facts div", has_text="Accepted").locator("dd")).to_have_text("2")
        if script:
            assert await _axe(visitor.page) == []


async def test_a_scenario_is_previewed_and_one_message_sent_as_a_test(place: Place, visit: Visits) -> None:
    async with visit(java_script_enabled=False, viewport={"width": 360, "height": 740}) as visitor:
        await visitor.page.get_by_role("link", name="Preview", exact=True).click()
        await visitor.page.get_by_label("Published scenario").select_option("post-purchase@1")
        await visitor.page.get_by_role("button", name="Preview", exact=True).click()
        await expect(visitor.page.locator("li.step", has_text="whatsapp")).to_contain_text("Bearer ~~WAX_TOKEN~~")
        assert not await visitor.page.evaluate(SPILL)
        await visitor.page.get_by_label("Step", exact=True).select_option("whatsapp")
        await visitor.page.get_by_label("Reason").fill("to see it arrive")
        await visitor.page.get_by_label("Send it for real").check()
        await visitor.page.get_by_role("button", name="Send the test").click()
        await expect(visitor.page.get_by_role("heading", name="Test message of whatsapp")).to_be_visible()
        (came,) = [one for one in place.stack.receiver.requests("/hooks.example.com") if one.header("x-scenario-test")]
        assert came.status == 200


async def test_live_parts_refresh_by_themselves(place: Place, visit: Visits) -> None:
    async with visit() as visitor:
        await visitor.page.clock.install()
        await visitor.go(to_journey(place.waiting))
        async with visitor.page.expect_response(lambda answer: answer.request.headers.get("hx-request") == "true"):
            await visitor.page.clock.run_for(15_000)


LOADING = 2 * PATIENCE
"""Milliseconds that Temporal's UI may take: it is a large program."""
SETTINGS = """([endpoint]) => {
    localStorage.setItem("endpoint", JSON.stringify(endpoint))
    localStorage.setItem("includeCredentials", "true")
    localStorage.setItem("overrideRemoteCodecConfiguration", "true")
}"""
"""What the dialog behind the glasses keeps in the browser."""


@pytest.mark.skipif(ENCRYPTED == "none", reason="nothing is encrypted")
async def test_temporals_ui_shows_what_is_encrypted_to_who_has_a_key(place: Place, chromium: Browser) -> None:
    ui = place.stack.server.ui_url
    context = await chromium.new_context(viewport={"width": 1280, "height": 1000})
    try:
        context.set_default_timeout(PATIENCE)
        page = await context.new_page()
        await page.goto(place.stack.access.pages)
        await page.goto(ui)
        await page.evaluate(SETTINGS, [f"{place.url}/codec"])
        statuses: list[int] = []
        page.on("response", lambda answer: statuses.append(answer.status) if "/codec/decode" in answer.url else None)
        run = (await place.stack.client.temporal.get_workflow_handle(place.waiting).describe()).run_id
        await page.goto(f"{ui}/namespaces/default/workflows/{quote(place.waiting, safe='')}/{run}/history")
        await expect(page.get_by_text(f'"{SECRET}"').first).to_be_visible(timeout=LOADING)
        await expect(page.get_by_text("post-purchase@1 · contact 3028687").first).to_be_visible(timeout=LOADING)
        assert set(statuses) == {200}
    finally:
        await context.close()
