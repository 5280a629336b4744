"""Who has no good key learns nothing, and makes the store remember nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from sqlalchemy import text

from gateway.api.authentication import MISSES, REMEMBERED
from runtime.api_keys import make_token
from tests.fakes import Clock
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


async def test_without_a_good_key_every_address_answers_the_same(api: Api, caplog: pytest.LogCaptureFixture):
    guesses = (f"{api.token[:-1]}{'0' if api.token[-1] != '0' else '1'}", api.token.upper())
    for shown in (*SHOWN.values(), *({"authorization": f"Bearer {guess}"} for guess in guesses)):
        for method, path in (("POST", "/v1/entries"), ("GET", "/v1/nothing"), ("HEAD", "/v1/entries")):
            request = httpx.Request(method, f"http://test{path}", headers=shown, content=b'{"a": NaN}')
            request.headers["idempotency-key"] = "k"
            answer = await api.http.send(request)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert method == "HEAD" or answer.json()["detail"] == "give a key: Authorization: Bearer sr_…"
    assert (api.client.asked, caplog.messages) == ([], []), "what others do wrong is no line of ours"
    database = api.client.store._database  # pyright: ignore[reportPrivateUsage]
    assert await database.read(text("SELECT 1 FROM api_answers")) == []


async def test_a_key_is_good_until_it_expires_whatever_the_case_of_the_scheme(api: Api):
    for seconds, scheme, status in ((-1, "Bearer ", 401), (3600, "bEARER  ", 202)):
        token = await api.key(expires_at=datetime.now(UTC) + timedelta(seconds=seconds))
        answer = await api.http.post("/v1/entries", json=ENTRY, headers={"authorization": scheme + token})
        assert answer.status_code == status


async def test_a_revoked_key_is_no_good_within_seconds(api: Api, monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    monkeypatch.setattr(api.keys, "_clock", clock)
    assert (await api.post("/entries", ENTRY)).status_code == 202
    await api.client.store.revoke_key(api.token.split("_")[1], datetime.now(UTC))
    clock.now = REMEMBERED
    assert (await api.post("/entries", ENTRY)).status_code == 401


async def test_guessed_keys_do_not_keep_the_store_from_known_ones(api: Api, monkeypatch: pytest.MonkeyPatch):
    unseen, stranger, clock = api.holding(await api.key()), api.holding(STRANGER), Clock(1000.0)
    for clocked in (api.keys, api.keys._misses):  # pyright: ignore[reportPrivateUsage]
        monkeypatch.setattr(clocked, "_clock", clock)
    with patch.object(api.client.store, "key", wraps=api.client.store.key) as look_up:
        for times in (1, 2):  # an unknown key is looked up once within seconds
            for _ in range(3):
                assert (await stranger.post("/entries", ENTRY)).status_code == 401
            assert look_up.call_count == times
            clock.now += REMEMBERED
        assert (await api.post("/entries", ENTRY)).status_code == 202
        for _ in range(MISSES):
            assert await api.keys.verify(make_token()[0]) is None
        assert look_up.call_count == 3 + MISSES
        for holder in (unseen, stranger):
            refused = await holder.post("/entries", ENTRY)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert look_up.call_count == 3 + MISSES
        clock.now += 0.99
        assert (await api.post("/entries", ENTRY)).status_code == 202
        clock.now += 0.01
        assert (await unseen.post("/entries", ENTRY)).status_code == 202


async def test_a_key_is_good_for_its_scopes_and_scenarios(api: Api):
    other = api.holding(await api.key("enter", scenarios=["other"]))
    for holder, entry, status, why in (
        (api.holding(await api.key("read")), ENTRY, 403, "this key lacks the scope 'enter'"),
        (other, ENTRY, 403, "this key is for other scenarios"),
        (other, {**ENTRY, "scenario": "other@3"}, 202, None),
    ):
        answer = await holder.post("/entries", entry)
        assert (answer.status_code, answer.json().get("detail")) == (status, why)


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


async def test_no_cache_keeps_an_answer_and_the_description_is_anybodys(api: Api):
    stranger = api.holding("")
    for caller, method, path, status in (
        (stranger, "GET", "/openapi.json", 200),
        (stranger, "POST", "/openapi.json", 401),
        (stranger, "GET", "/nothing", 401),
        (api, "PUT", "/entries", 405),
        (api, "POST", "/entries", 202),
    ):
        answer = await caller.call(method, path, **({"json": ENTRY} if path == "/entries" else {}))
        assert (answer.status_code, answer.headers["cache-control"]) == (status, "no-store")
