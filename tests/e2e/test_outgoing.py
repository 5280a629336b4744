"""Outgoing events of journeys, over a receiver that fails at first: `tests/activities/test_outgoing.py` has more."""

import json
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from gateway.service.caller import TERMINAL
from gateway.service.outgoing import OutgoingService
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


async def test_every_event_arrives_by_id_and_in_order_with_the_same_bytes_in_each_attempt(
    server: Server, tmp_path: Path
) -> None:
    calls = list[tuple[Mapping[str, str], bytes]]()  # of the CRM, the first of which fails

    async def receive(request: web.Request) -> web.Response:
        if request.path == "/crm":
            calls.append((request.headers, await request.read()))
        return web.Response(status=503 if request.path == "/crm" and len(calls) == 1 else 200)

    async def is_everything_accepted() -> bool:
        return len({headers["webhook-id"] for headers, _ in calls[1:]}) == len(CONTACTS) * len(ORDER)

    destinations, outgoing = tmp_path / "destinations.yaml", tmp_path / "outgoing.yaml"
    outgoing.write_text("feed: true\nsubscriptions: {crm: {to: crm}}\n")
    variables = {
        **server.environ,
        "SCENARIO_STORE": store_in(tmp_path),
        "SCENARIO_DESTINATIONS": str(destinations),
        "SCENARIO_OUTGOING": str(outgoing),
        "SCENARIO_SECRET_CRM_KEY": SECRET,
    }
    async with listening(receive) as url, opened(await server.connect(), tmp_path) as site:
        there = [DESTINATION.format(name=name, url=url, port=url.rpartition(":")[2]) for name in ("shop", "crm")]
        destinations.write_text("destinations:" + "".join(there))
        await publish(site.client, tmp_path, HELLO)
        async with process(*WORKER, log=tmp_path / "log", environ=variables):
            for contact in CONTACTS:
                await site.client.enter(entry("hello", contact, email=PLANTED))
            await until(is_everything_accepted, within=240)
        fed = (await OutgoingService(site.store).feed(TERMINAL, None)).lines
    bodies: dict[str, bytes] = {}
    order: defaultdict[str, list[str]] = defaultdict(list)
    for headers, body in calls[1:]:
        Webhook(SECRET).verify(body, {name.lower(): value for name, value in headers.items()})
        assert PLANTED.encode() not in body
        if headers["webhook-id"] not in bodies:
            event: dict[str, Any] = json.loads(body)
            order[event["subject"]].append(event["type"])
        assert bodies.setdefault(headers["webhook-id"], body) == body
    assert order == {f"hello/{contact}": ORDER for contact in CONTACTS}
    assert sorted(bodies.values()) == sorted(fed)
    assert bodies[calls[0][0]["webhook-id"]] == calls[0][1]
