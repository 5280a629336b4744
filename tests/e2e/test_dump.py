"""Whoever has a copy of the store can neither sign in, nor act, nor decode, nor sign, nor read whom it is about."""

import asyncio
import base64
import re
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from gateway import codec
from gateway.api.authentication import Keys
from gateway.serving import Front, Parts, parts_of
from runtime.api_keys import SCOPES, ApiKey, make_token
from runtime.derived_keys import TokenError
from runtime.encryption.codec import keyring_in
from runtime.process.http_server import HttpServer
from runtime.public_links import Callbacks
from runtime.settings import Settings
from service.client import ScenarioClient
from service.operations.background import running_operations
from tests.e2e.conftest import Server, opened, publish, until_state

CONTACT = "planted-eve-4720"
MARK = "Pl4nt3d"
"""What only payloads, bodies and answers hold: a part of the contact's name, address and number."""
BASE = "https://hooks.example.com"
CALLBACK_KEY = base64.b64encode(b"c" * 32)
SOURCE = """
scenario: park
trigger: order
entry: {key: "{{ order.external_id }}", again: always}
steps:
  - sms: hello
    text: "hello {{ contact.firstname }}"
  - wait: 30d
"""


def entry(order: str) -> dict[str, Any]:
    contact = {"id": CONTACT, "firstname": MARK, "email": f"{MARK}@example.com", "cellphone": "+33698765432"}
    return {"scenario": "park", "contact": contact, "trigger": {"type": "order", "order": {"external_id": order}}}


def requests() -> list[tuple[str, str, Any, int]]:
    event = {"contact": CONTACT, "name": "order.paid", "properties": {"who": MARK}}
    why = {"reason": "seen", "operator": "ann"}
    which = {"scenario": "park", "contact": CONTACT}
    return [
        ("POST", "/v1/entries", entry("1"), 202),
        ("POST", "/v1/entries/batch", [entry("2"), {**entry("3"), "scenario": MARK}], 200),
        ("PATCH", f"/v1/contacts/{CONTACT}", {"lastname": MARK}, 200),
        ("POST", "/v1/events", event, 202),
        ("POST", "/v1/events/batch", [event, {**event, "contact": None}], 200),
        ("POST", f"/v1/journeys/park/{CONTACT}/1/pause", why, 200),
        ("POST", f"/v1/journeys/park/{CONTACT}/1/resume", why, 200),
        ("POST", "/v1/operations", {"operation": "pause", "which": which, **why}, 202),
        ("POST", "/v1/check", {"source": SOURCE.replace("hello", MARK)}, 200),
        ("POST", "/v1/preview", {"source": SOURCE, "entry": entry("4")}, 200),
        ("POST", "/v1/preview", {"scenario": "park", "entry": entry("5")}, 200),
    ]


@asynccontextmanager
async def gateway(client: ScenarioClient) -> AsyncGenerator[httpx.AsyncClient]:
    store = client.store
    parts = parts_of(client, store, Parts(api=True, pages=True))
    parts[f"{codec.PREFIX}/"] = codec.application(keyring_in(store), Keys(store), [])
    async with (
        running_operations(client.services.operations, client.services.campaigns),
        HttpServer() as server,
        httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http,
    ):
        server.start(Front(parts))
        yield http


def dumped(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "store.db")) as connection:
        return "\n".join(connection.iterdump())


def words(dump: str) -> set[str]:
    """Every part of a dump that may be a key or a token: identifiers, digests, sealed texts."""
    found = set(re.findall(r"(?<![\w.+/=-])(?=[A-Za-z0-9_.+/=-]*[a-z])[A-Za-z0-9_.+/=-]{8,}", dump))
    return {word for word in found if len(word) < 2000 and re.search(r"\d", word)}


async def let_in(http: httpx.AsyncClient, word: str) -> list[str]:
    payload = {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "MQ=="}]}
    cookie, key = {"cookie": f"session={word}"}, {"authorization": f"Bearer {word}"}
    answers = [
        await http.get("/", headers=cookie),
        await http.post("/codec/decode", json=payload, headers=cookie),
        await http.get("/v1/scenarios", headers=key),
    ]
    return [answer.request.url.path for answer in answers if answer.status_code not in (303, 401)]


@pytest.mark.encrypted
async def test_a_copy_of_the_store_opens_nothing_and_tells_nothing(server: Server, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "sms": SecretStr("local:"),
        "callback_url": BASE,
        "callback_key": SecretStr(CALLBACK_KEY.decode()),
    }
    token, identifier, digest = make_token()
    mine = {"authorization": f"Bearer {token}"}
    async with opened(await server.connect(), tmp_path, inbox=tmp_path / "inbox", **settings) as site:
        client, store = site.client, site.store
        await store.add_key(ApiKey(identifier, digest, SCOPES, None, 10_000.0, "", datetime.now(UTC), "test"))
        await publish(client, tmp_path, SOURCE)
        async with site.working(), gateway(client) as http:
            for number, (method, path, body, status) in enumerate(requests()):
                if number == 2:
                    for order in "12":
                        await until_state(client, f"park/{CONTACT}/{order}", "waiting")
                for replayed in (None, None if path in ("/v1/check", "/v1/preview") else "true"):
                    answer = await http.request(
                        method, path, json=body, headers={**mine, "idempotency-key": f"{CONTACT}-{number}"}
                    )
                    assert answer.status_code == status, (path, answer.text)
                    assert answer.headers.get("idempotency-replayed") == replayed, path
            signed_in = await http.post("/sign-in", data={"key": token})
            cookie = signed_in.cookies["session"]
            http.cookies.clear()
            dump = await asyncio.to_thread(dumped, tmp_path)
            assert MARK not in dump
            assert (token in dump, cookie in dump) == (False, False)

            assert await let_in(http, token) == ["/v1/scenarios"]
            assert await let_in(http, cookie) == ["/", "/codec/decode"]
            shown = words(dump)
            assert (identifier in dump, digest in dump) == (True, True)
            tried = sorted(shown)
            for some in (tried[at : at + 20] for at in range(0, len(tried), 20)):
                places = await asyncio.gather(*(let_in(http, word) for word in some))
                assert [*zip(some, places, strict=True)] == [(word, []) for word in some]

            callbacks = Callbacks.configured(Settings(**settings))
            assert callbacks is not None
            now = datetime.now(UTC)
            for word in shown:
                forged = Callbacks(BASE, [word.encode().ljust(32, b"0")])
                url = forged.url(f"park/{CONTACT}/1", "0" * 32, f"msg_{'0' * 32}", now)
                with pytest.raises(TokenError):
                    callbacks.verify(url.rpartition("/")[2], now + timedelta(hours=1))
