"""An address that does not exist: its journey goes on, nothing more is sent there, and the platform hears of it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from activities.background import TELL_WORKFLOW, PlatformReply
from runtime.process.http_server import HttpServer
from runtime.public_links import ReturnPaths
from scenario.steps.delivery import delivery_id
from tests.e2e.conftest import Server, opened, publish

pytestmark = pytest.mark.encrypted

KEY = bytes(range(32))
ADA = "ada@example.com"
SCENARIO = """
scenario: welcome
trigger: contact_created
steps:
  - {email: hello, subject: Hello, text: Hello, retry: {deadline: 1m}}
  - {email: again, subject: Again, text: Again}
"""


class Mx:
    def __init__(self) -> None:
        self.senders: list[str] = []

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:  # noqa: N802
        self.senders.append(envelope.mail_from)
        return f"550 5.1.1 <{address}>: Recipient address rejected: User unknown"


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as opened:
        yield opened


async def test_it_is_skipped_and_the_platform_told(server: Server, stack: AsyncExitStack, tmp_path: Path) -> None:
    told: list[Any] = []

    async def blacklists(request: Request) -> Response:
        told.append((request.url.path, json.loads(await request.body())))
        failure = {"touchpoint": ADA, "error": f"Touchpoint {ADA} is …", "error_key": "touchpoint_already_exist"}
        return JSONResponse({"successes": [], "failures": [failure]}, 207)

    listening = await stack.enter_async_context(HttpServer())
    listening.start(Starlette(routes=[Route("/data/blacklists/{channel}", blacklists, methods=["POST"])]))
    mx = Mx()
    loop = asyncio.get_running_loop()
    post = await loop.create_server(lambda: SMTP(mx, hostname="mx.test"), "127.0.0.1", 0)
    await stack.enter_async_context(post)
    port = post.sockets[0].getsockname()[1]
    file = tmp_path / "destinations.yaml"
    access = f"allow_private: true, allow_http: true, ports: [{listening.port}]"
    file.write_text(f"destinations: {{splio: {{url: '{listening.url}', suppressions: splio, {access}}}}}\n")
    settings: dict[str, Any] = {
        "smtp": SecretStr(f"smtp://127.0.0.1:{port}"),
        "mail_from": "news@shop.example",
        "destinations": file,
        "suppression_key": SecretStr(base64.b64encode(KEY).decode()),
        "bounce_address": "bounces@mail.shop.example",
    }
    site = await stack.enter_async_context(opened(await server.connect(), tmp_path, **settings))
    await stack.enter_async_context(site.working())
    client, temporal = site.client, site.client.temporal
    await publish(client, tmp_path, SCENARIO)

    contact = {"id": "3028687", "email": ADA}
    entered = await client.enter({"scenario": "welcome", "contact": contact, "trigger": {"type": "contact_created"}})
    result = await entered.result()
    assert result["outcome"] == "finished"
    reasons = {step["id"]: step["reason"] for step in result["steps"] if step["outcome"] == "skipped"}
    assert reasons["hello"].startswith("the address has bounced (bounce, ")
    assert reasons["again"] == reasons["hello"]

    [path] = mx.senders  # the second message did not try
    paths = ReturnPaths("bounces@mail.shop.example", [KEY])
    [token] = paths.tokens(path.encode())
    assert paths.proven(token, ADA) == delivery_id(entered.id, entered.run_id, "hello", 0)

    [row] = await site.store.suppressions()
    assert (row.source, row.evidence) == ("bounce", "550 5.1.1")
    telling: list[Any] = []
    async with asyncio.timeout(60):
        while not telling:  # visibility lags
            telling = [found async for found in temporal.list_workflows(f"WorkflowType = '{TELL_WORKFLOW}'")]
            await asyncio.sleep(0.05)
    handle = temporal.get_workflow_handle(telling[0].id, result_type=PlatformReply)
    assert await handle.result() == PlatformReply(outcome="known", status=207)
    assert told == [("/data/blacklists/email", {"data": [ADA]})]
    assert ADA not in (await handle.fetch_history()).to_json()
