"""Outgoing events over a receiver that is away and workers that are killed."""

import asyncio
import json
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from service.caller import TERMINAL
from service.outgoing import OutgoingService
from tests.e2e.conftest import Server, entry, listening, opened, process, publish, store_in, until

PLANTED = "zoe@planted.example"
SECRET = "whsec_" + "a" * 32
WORKER = (sys.executable, "-m", "worker", "--queues", "journeys,webhooks")
CONTACTS = ("c1", "c2", "c3", "c4")
ORDER = ["journey.entered", "delivery.delivered", "journey.ended"]
HELLO = """
scenario: hello
trigger: segment
steps:
  - webhook: call
    to: shop
    path: /shop
    body: {email: "{{ contact.email }}"}
"""
DESTINATION = """
  {name}: {{url: "{url}/{name}", signing: [{{key: CRM_KEY}}], allow_private: true, allow_http: true, ports: [{port}]}}
"""


class Receivers:
    def __init__(self) -> None:
        self.there = asyncio.Event()
        self.calls: list[tuple[dict[str, str], bytes]] = []  # of the CRM
        self.accepted: list[tuple[dict[str, str], bytes]] = []
        self.failures, self.url = 1, ""

    async def receive(self, request: web.Request) -> web.Response:
        if request.path != "/crm":
            return web.Response()
        call = ({name.lower(): value for name, value in request.headers.items()}, await request.read())
        self.calls.append(call)
        await self.there.wait()
        if self.failures:
            self.failures -= 1
            return web.Response(status=503)
        self.accepted.append(call)
        return web.Response()


@pytest.fixture
async def there() -> AsyncIterator[Receivers]:
    made = Receivers()
    async with listening(made.receive) as made.url:
        yield made


async def test_every_event_arrives_once_by_id_and_in_order_though_the_receiver_is_away_and_a_worker_killed(
    there: Receivers, server: Server, tmp_path: Path
) -> None:
    given = {"url": there.url, "port": there.url.rpartition(":")[2]}
    destinations, outgoing = tmp_path / "destinations.yaml", tmp_path / "outgoing.yaml"
    destinations.write_text(
        "destinations:" + "".join(DESTINATION.format(name=name, **given) for name in ("shop", "crm"))
    )
    outgoing.write_text("feed: true\nsubscriptions: {crm: {to: crm}}\n")
    variables = {
        **server.environ,
        "SCENARIO_STORE": store_in(tmp_path),
        "SCENARIO_DESTINATIONS": str(destinations),
        "SCENARIO_OUTGOING": str(outgoing),
        "SCENARIO_SECRET_CRM_KEY": SECRET,
    }
    async with opened(await server.connect(), tmp_path) as site:
        service = OutgoingService(site.store)
        await publish(site.client, tmp_path, HELLO)
        async with process(*WORKER, log=tmp_path / "log", environ=variables) as killed:
            for contact in CONTACTS:
                await site.client.enter(entry("hello", contact, email=PLANTED))

            async def is_everything_stored() -> bool:
                if not await site.store.wanted_events():  # the worker has not started yet
                    return False
                stored = len((await service.feed(TERMINAL, None)).lines)
                return stored == len(CONTACTS) * len(ORDER) and bool(there.calls)

            await until(is_everything_stored, within=240)
            killed.kill()
            await killed.wait()
        # As if the killed worker's lease had expired.
        now = datetime.now(UTC) + timedelta(hours=1)
        await site.store.lease("outgoing crm", "test", now=now, expires_at=now)
        await site.store.give_up("outgoing crm", "test")
        there.there.set()
        async with process(*WORKER, log=tmp_path / "log", environ=variables):

            async def is_everything_accepted() -> bool:
                return len({headers["webhook-id"] for headers, _ in there.accepted}) == len(CONTACTS) * len(ORDER)

            await until(is_everything_accepted, within=240)
        fed = (await service.feed(TERMINAL, None)).lines
    bodies: dict[str, bytes] = {}
    order: defaultdict[str, list[str]] = defaultdict(list)
    for headers, body in there.accepted:
        Webhook(SECRET).verify(body, headers)
        assert PLANTED.encode() not in body
        if headers["webhook-id"] not in bodies:
            event: dict[str, Any] = json.loads(body)
            order[event["subject"]].append(event["type"])
        assert bodies.setdefault(headers["webhook-id"], body) == body
    assert order == {f"hello/{contact}": ORDER for contact in CONTACTS}
    assert sorted(bodies.values()) == sorted(fed)
    assert all(bodies[headers["webhook-id"]] == body for headers, body in there.calls)
