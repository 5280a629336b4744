"""The pages in a browser: local servers with journeys in each state, Debian's Chromium, and somebody who looks."""

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Error, Page, Request, async_playwright, expect

from cli.local.stack import LocalStack, local
from tests.e2e.conftest import KEYS, ROOT, is_encrypted, until_held

AXE: Final = ROOT / "tests" / "node" / "node_modules" / "axe-core" / "axe.min.js"
PATIENCE: Final = 60_000.0
"""Milliseconds that a browser waits for what is expected of a page."""
expect.set_options(timeout=PATIENCE)
HELD: Final = ("held-look", "held-keys", "held-forms", "held-script")
"""Scenarios whose journeys are held: one for each test that ends that."""
_HELD: Final = """
scenario: NAME
trigger: segment
steps:
  - webhook: hook
    url: https://NAME.example.com/hook
    body: {contact: "{{ contact.id }}"}
"""
_OVER: Final = """
scenario: over
trigger: segment
steps:
  - email: hello
    subject: Hello
    text: Hello {{ contact.firstname }}
"""
SECRET: Final = "zoe.obrien@example.com"
"""Of the contact: on no page."""


@dataclass(frozen=True)
class Place:
    stack: LocalStack
    waiting: str
    finished: str
    held: dict[str, list[str]]

    @property
    def url(self) -> str:
        return self.stack.gateway.url

    async def outcome(self, journey: str) -> str:
        async with asyncio.timeout(PATIENCE / 1000):
            result = await self.stack.client.temporal.get_workflow_handle(journey).result()
        return str(result["outcome"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(temporal_program: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    del temporal_program  # it is there
    folder = tmp_path_factory.mktemp("pages")
    fail = {f"/{name}.example.com/hook": (422,) for name in HELD}
    async with AsyncExitStack() as opened:
        with pytest.MonkeyPatch.context() as patch:
            if is_encrypted(marked=True):
                patch.setenv("SCENARIO_ENCRYPTION_KEYS", KEYS)
            stack = await opened.enter_async_context(local(folder / "state", fail=fail))
        for name in ("post-purchase", "reward"):
            await stack.client.publish(ROOT / "examples" / f"{name}.yaml")
        for name, text in {"over": _OVER, **{name: _HELD.replace("NAME", name) for name in HELD}}.items():
            path = folder / f"{name}.yaml"
            path.write_text(text, "utf-8")
            await stack.client.publish(path)
        entry = json.loads((ROOT / "examples" / "entries" / "post-purchase.json").read_text("utf-8"))
        waiting = await stack.client.enter(entry)
        finished = await _enter(stack, "over", 1)
        held = {name: [await _enter(stack, name, number) for number in (1, 2)] for name in HELD}
        await stack.client.temporal.get_workflow_handle(finished).result()
        await until_held(stack.client, 2 * len(HELD))
        yield Place(stack, waiting.id, finished, held)


async def _enter(stack: LocalStack, scenario: str, contact: int) -> str:
    about = {"id": contact, "email": SECRET, "firstname": "Zoé"}
    entered = await stack.client.enter({"scenario": scenario, "contact": about, "trigger": {"type": "segment"}})
    return entered.id


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed: as root on Debian, .ci/run installs it")
    async with AsyncExitStack() as stack:
        try:
            playwright = await stack.enter_async_context(async_playwright())
            # Without its sandbox, which wants more than a container gives: it opens our own pages alone.
            browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        except (Error, OSError) as error:
            pytest.skip(f"Chromium cannot be started here: {str(error).splitlines()[0]}")
        stack.push_async_callback(browser.close)
        yield browser


@dataclass
class Visitor:
    page: Page
    url: str
    wrong: list[str] = field(default_factory=list[str])

    def watch(self) -> None:
        def told(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and "status of 404" not in message.text:
                self.wrong.append(f"{self.page.url}: {message.text}")

        def asked(request: Request) -> None:
            if not request.url.startswith((self.url, "data:")):
                self.wrong.append(f"{self.page.url} asks {request.url}")

        self.page.on("console", told)
        self.page.on("pageerror", lambda error: self.wrong.append(f"{self.page.url}: {error}"))
        self.page.on("request", asked)

    async def go(self, path: str, status: int = 200) -> None:
        answer = await self.page.goto(self.url + path)
        assert answer is not None
        assert answer.status == status, f"{path} answers {answer.status}"

    async def tab_to(self, name: str, role: str = "link") -> None:
        wanted = self.page.get_by_role(role, name=name, exact=True).first  # pyright: ignore[reportArgumentType]
        await wanted.wait_for()
        for _ in range(150):
            await self.page.keyboard.press("Tab")
            if await wanted.evaluate("element => element === document.activeElement"):
                return
        raise AssertionError(f"{self.page.url}: no Tab leads to the {role} '{name}'")


Visits = Callable[..., AbstractAsyncContextManager[Visitor]]


@pytest.fixture
def visit(chromium: Browser, place: Place) -> Visits:
    """Opens a browser's window of its own: signed in, unless told otherwise. At the end nothing may have gone wrong.

    Its keyword arguments are those of Playwright's ``new_context``, and `scripts`, which run in every page.
    """

    @asynccontextmanager
    async def opened(
        *, signed_in: bool = True, scripts: Sequence[Path] = (), **options: Any
    ) -> AsyncGenerator[Visitor]:
        context = await chromium.new_context(**options)
        try:
            context.set_default_timeout(PATIENCE)
            for script in scripts:
                await context.add_init_script(path=script)
            visitor = Visitor(await context.new_page(), place.url)
            visitor.watch()
            if signed_in:
                await visitor.page.goto(place.stack.access.pages)
                assert visitor.page.url == f"{place.url}/"
            yield visitor
            assert visitor.wrong == []
        finally:
            await context.close()

    return opened
