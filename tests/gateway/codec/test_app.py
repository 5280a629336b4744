"""The codec server: decodes for who has a key, and lets scripts of named origins ask."""

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.converter import WorkflowSerializationContext

from gateway.api.authentication import Keys
from gateway.codec import MOST, application
from runtime.api_keys import Scope
from runtime.encryption.codec import EncryptionCodec
from runtime.encryption.keyring import Keyring, KeyWrapping
from runtime.store import Store
from tests.factories import add_key

UI = "https://temporal.example.com"
CLEAR = Payload(metadata={"encoding": b"json/plain"}, data=b'"Zo\xc3\xa9"')


@dataclass(frozen=True)
class Server:
    http: httpx.AsyncClient
    store: Store
    keyring: Keyring

    async def key(self, *scopes: Scope, scenarios: list[str] | None = None) -> dict[str, str]:
        token, _ = await add_key(self.store, *scopes, scenarios=scenarios)
        return {"authorization": f"Bearer {token}"}

    async def sealed(self, contact: str) -> Payload:
        context = WorkflowSerializationContext(namespace="default", workflow_id=f"sale/{contact}")
        (payload,) = await EncryptionCodec(self.keyring).with_context(context).encode([CLEAR])
        return payload


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        keyring = Keyring(store, KeyWrapping([b"k" * 32]))
        transport = httpx.ASGITransport(application(keyring, Keys(store), [UI]))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as http:
            yield Server(http, store, keyring)


def body(*payloads: Payload) -> dict[str, Any]:
    return MessageToDict(Payloads(payloads=payloads))


async def test_payloads_are_decoded_for_who_may(server: Server):
    sent = body(await server.sealed("1"), CLEAR)
    answer = await server.http.post("/codec/decode", json=sent, headers=await server.key("decode"))
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert [base64.b64decode(item["data"]).decode() for item in answer.json()["payloads"]] == ['"Zoé"', '"Zoé"']


async def test_what_is_encoded_can_be_decoded(server: Server):
    headers = await server.key("decode")
    encoded = (await server.http.post("/codec/encode", json=body(CLEAR), headers=headers)).json()
    assert b"Zo" not in base64.b64decode(encoded["payloads"][0]["data"])
    decoded = (await server.http.post("/codec/decode", json=encoded, headers=headers)).json()
    assert decoded == body(CLEAR)


async def test_what_was_of_an_erased_contact_is_shown_as_that(server: Server):
    sent = body(await server.sealed("1"), await server.sealed("2"))
    await server.keyring.destroy("1")
    answer = await server.http.post("/codec/decode", json=sent, headers=await server.key("decode"))
    told = [json.loads(base64.b64decode(item["data"])) for item in answer.json()["payloads"]]
    assert told == ["the contact was erased", "Zoé"]


async def test_nobody_else_is_told_anything(server: Server):
    sent = body(await server.sealed("1"))
    for headers, status in (
        ({}, 401),
        ({"authorization": "Bearer sr_aaaaaaaa_" + "0" * 64}, 401),
        (await server.key("read", "operate", "publish"), 403),
        (await server.key("decode", scenarios=["sale"]), 403),
    ):
        answer = await server.http.post("/codec/decode", json=sent, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_scripts_of_the_ui_alone_may_ask(server: Server):
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,x-namespace"}
    allowed = await server.http.options("/codec/decode", headers={"origin": UI, **asked})
    assert allowed.headers["access-control-allow-origin"] == UI
    assert allowed.headers["access-control-allow-credentials"] == "true"
    others = await server.http.options("/codec/decode", headers={"origin": "https://evil.example.com", **asked})
    assert "access-control-allow-origin" not in others.headers


async def test_a_body_that_is_none_is_refused(server: Server):
    headers = await server.key("decode")
    for content in (b"", b'{"payloads": 1}', b'{"payloads": "\xff"}', b"[" * 100_000):
        assert (await server.http.post("/codec/decode", content=content, headers=headers)).status_code == 400
    assert (await server.http.post("/codec/decode", content=b" " * (MOST + 1), headers=headers)).status_code == 413
