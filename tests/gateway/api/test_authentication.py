"""Who has no good key learns nothing, and makes the store remember nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from gateway.api.authentication import MISSES, REMEMBERED
from runtime.api_keys import ApiKey, make_token
from tests.gateway.api.conftest import Api, Opening

ENTRY = {"scenario": "welcome", "contact": {"id": 7}, "trigger": {"type": "segment"}}
STRANGER = make_token()[0]
SHOWN: dict[str, Any] = {
    "nothing": {},
    "nothing behind the scheme": {"authorization": "Bearer"},
    "an empty key": {"authorization": "Bearer "},
    "another scheme": {"authorization": "Basic c3I6c3I="},
    "the key without a scheme": {"authorization": STRANGER},
    "a key that was never made": {"authorization": f"Bearer {STRANGER}"},
    "another form": {"authorization": "Bearer sr_short_00"},
    "a huge one": {"authorization": "Bearer " + "a" * 10_000},
    "not ASCII": {"authorization": "Bearer sr_é".encode("latin-1")},
    "several": [("authorization", f"Bearer {STRANGER}"), ("authorization", f"Bearer {STRANGER}")],
}


async def test_without_a_good_key_every_address_answers_the_same(api: Api):
    wrong_secret = f"Bearer {api.token[:-1]}{'0' if api.token[-1] != '0' else '1'}"
    for shown in (*SHOWN.values(), {"authorization": wrong_secret}):
        for method, path in (("POST", "/v1/entries"), ("GET", "/v1/nothing"), ("HEAD", "/v1/entries")):
            request = httpx.Request(method, f"http://test{path}", headers=shown, content=b'{"a": NaN}')
            request.headers["idempotency-key"] = "k"
            answer = await api.http.send(request)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert method == "HEAD" or answer.json()["detail"] == "give a key: Authorization: Bearer sr_…"
    assert api.client.asked == []
    database = api.client.store._database  # pyright: ignore[reportPrivateUsage]
    assert await database.read(text("SELECT 1 FROM api_answers")) == []


async def test_the_scheme_may_be_written_in_any_case(api: Api):
    answer = await api.http.post("/v1/entries", json=ENTRY, headers={"authorization": f"bEARER  {api.token}"})
    assert answer.status_code == 202


async def test_the_description_is_anybodys(api: Api):
    assert (await api.http.get("/v1/openapi.json")).status_code == 200
    assert (await api.http.post("/v1/openapi.json")).status_code == 401


async def test_a_key_is_no_good_when_it_has_expired(api: Api):
    now = datetime.now(UTC)
    expired = await api.key(expires_at=now - timedelta(seconds=1))
    lasting = await api.key(expires_at=now + timedelta(hours=1))
    assert (await api.holding(expired).post("/entries", ENTRY)).status_code == 401
    assert (await api.holding(lasting).post("/entries", ENTRY)).status_code == 202


async def test_a_revoked_key_is_no_good_within_seconds(api: Api, monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    monkeypatch.setattr(api.keys, "_clock", lambda: now)
    assert (await api.post("/entries", ENTRY)).status_code == 202
    await api.client.store.revoke_key(api.token.split("_")[1], datetime.now(UTC))
    now = REMEMBERED
    assert (await api.post("/entries", ENTRY)).status_code == 401


class LookUps:
    """Counts the look-ups of keys in a store."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.now = 1000.0
        self._store_key = api.client.store.key
        monkeypatch.setattr(api.client.store, "key", self._key)
        monkeypatch.setattr(api.keys, "_clock", lambda: self.now)
        monkeypatch.setattr(api.keys._misses, "_clock", lambda: self.now)  # pyright: ignore[reportPrivateUsage]

    async def _key(self, identifier: str) -> ApiKey | None:
        self.count += 1
        return await self._store_key(identifier)


async def test_an_unknown_key_is_looked_up_once_within_seconds(api: Api, monkeypatch: pytest.MonkeyPatch):
    look_ups = LookUps(api, monkeypatch)
    stranger = api.holding(STRANGER)
    for _ in range(5):
        assert (await stranger.post("/entries", ENTRY)).status_code == 401
    assert look_ups.count == 1
    look_ups.now += REMEMBERED
    assert (await stranger.post("/entries", ENTRY)).status_code == 401
    assert look_ups.count == 2


async def test_guessed_keys_do_not_keep_the_store_from_known_ones(api: Api, monkeypatch: pytest.MonkeyPatch):
    unseen = api.holding(await api.key())
    look_ups = LookUps(api, monkeypatch)
    assert (await api.post("/entries", ENTRY)).status_code == 202
    for _ in range(MISSES):
        assert await api.keys.verify(make_token()[0]) is None
    assert look_ups.count == 1 + MISSES
    for holder in (unseen, api.holding(STRANGER)):
        refused = await holder.post("/entries", ENTRY)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert look_ups.count == 1 + MISSES
    look_ups.now += 0.99
    assert (await api.post("/entries", ENTRY)).status_code == 202
    look_ups.now += 0.01
    assert (await unseen.post("/entries", ENTRY)).status_code == 202


async def test_a_key_is_good_for_its_scopes_and_scenarios(api: Api):
    reader = api.holding(await api.key("read"))
    other = api.holding(await api.key("enter", scenarios=["other"]))
    lacking = "this key lacks the scope 'enter'"
    for holder, why in ((reader, lacking), (other, "this key is for other scenarios")):
        answer = await holder.post("/entries", ENTRY)
        assert (answer.status_code, answer.json()["detail"]) == (403, why)
    assert (await other.post("/entries", {**ENTRY, "scenario": "other@3"})).status_code == 202


async def test_too_many_requests_of_a_key_have_to_wait(opening: Opening):
    api = await opening(rate=2.0)
    other = api.holding(await api.key(rate=50.0))
    answers = [await api.post("/entries", ENTRY) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [202] * 4 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) in (1, 2)
    assert (await other.post("/entries", ENTRY)).status_code == 202


async def test_what_an_address_does_not_take_is_told_to_who_has_a_key(api: Api):
    for method in ("HEAD", "OPTIONS", "DELETE"):
        answer = await api.call(method, "/entries")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_pages_elsewhere_may_use_it_where_they_are_named(opening: Opening):
    asked = {"origin": "https://shop.example.com", "access-control-request-method": "POST"}
    closed, opened = await opening(), await opening(origins=["https://shop.example.com"])
    for api, allowed in ((closed, None), (opened, "https://shop.example.com")):
        preflight = await api.http.options("/v1/entries", headers=asked)
        assert preflight.headers.get("access-control-allow-origin") == allowed
        answer = await api.post("/entries", {}, origin="https://shop.example.com")
        assert answer.headers.get("access-control-allow-origin") == allowed
    other = await opened.post("/entries", ENTRY, origin="https://elsewhere.example.com")
    assert "access-control-allow-origin" not in other.headers


async def test_no_cache_keeps_an_answer(api: Api):
    stranger = api.holding("")
    for caller, method, path, status in (
        (stranger, "GET", "/openapi.json", 200),
        (stranger, "GET", "/nothing", 401),
        (api, "PUT", "/entries", 405),
        (api, "POST", "/entries", 202),
    ):
        answer = await caller.call(method, path, **({"json": ENTRY} if path == "/entries" else {}))
        assert (answer.status_code, answer.headers["cache-control"]) == (status, "no-store")
