"""A request that comes again with its Idempotency-Key is answered as before, and done once."""

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from unittest.mock import AsyncMock, patch

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.api.idempotency import Idempotency
from gateway.api.problem import Problem, again
from runtime.store.api_access import KEPT, ApiAccess
from service.caller import caller_with
from service.errors import UnderWay
from tests.factories import present
from tests.gateway.api.conftest import Door

ENTRY: dict[str, Any] = {"scenario": "welcome", "contact": {"id": 7}, "trigger": {"type": "segment"}}


@pytest.mark.parametrize("refusal", [None, UnderWay("the contact is in welcome already", journey="welcome/7")])
async def test_it_is_answered_as_before(api: Door, refusal: Exception | None):
    if refusal is not None:
        api.client.refusals["7"] = refusal
    first = await api.post("/entries", ENTRY, idempotency_key="a")
    api.client.refusals.clear()
    second = await api.post("/entries", ENTRY, idempotency_key="a")
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert first.status_code == (202 if refusal is None else 409)
    assert (first.headers.get("idempotency-replayed"), second.headers["idempotency-replayed"]) == (None, "true")
    assert second.headers["content-type"] == first.headers["content-type"]
    assert len(api.client.asked) == 1


async def test_the_store_tells_neither_key_nor_answer(api: Door, tmp_path: Path):
    """An engine may make its key of a contact's id, and an answer names journeys by it: erasing has to reach both."""
    entry = {**ENTRY, "contact": {"id": "planted-eve"}}
    for _ in range(2):
        assert "planted-eve" in (await api.post("/entries", entry, idempotency_key="entry-of-planted-eve")).text
    kept = await asyncio.to_thread(lambda: b"".join(path.read_bytes() for path in tmp_path.glob("store.db*")))
    assert (b"api_answers" in kept, b"planted-eve" in kept) == (True, False)


async def test_a_digest_in_the_store_cannot_be_guessed_and_each_api_key_has_its_own(api: Door):
    """What engines make their keys and requests of is guessed quickly, so the API key is needed to compare."""
    digests = set[tuple[Any, ...]]()
    for holder in (api, await api.limited()):
        with patch.object(api.store, "take_request", wraps=api.store.take_request) as take:
            assert (await holder.post("/entries", ENTRY, idempotency_key="a")).status_code == 202
        digests.update(take.call_args.args[1:3])
    assert len(digests) == 4
    assert hashlib.sha256(b"a").hexdigest() not in digests
    assert len({request for *_, request in api.client.asked}) == 2


async def test_what_changes_nothing_and_what_has_no_key_is_not_kept(api: Door, tmp_path: Path):
    body = {"source": "scenario: planted-eve", "entry": ENTRY}
    for method, path in (("POST", "/check"), ("POST", "/preview"), ("GET", "/scenarios")):
        for _ in range(2):
            answer = await api.ask(method, path, json=body, headers={"idempotency-key": "a"})
            assert answer.status_code in (200, 422)
            assert "idempotency-replayed" not in answer.headers
    for _ in range(2):
        assert (await api.post("/entries", ENTRY)).status_code == 202
    assert len(api.client.asked) == 2
    with closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        assert connection.execute("SELECT count(*) FROM api_answers").fetchone() == (0,)


async def test_another_request_under_it_is_a_mistake(api: Door):
    await api.post("/entries", ENTRY, idempotency_key="a")
    for path, body in (("/entries", {**ENTRY, "key": "x"}), ("/events", ENTRY), ("/entries?a=b", ENTRY)):
        answer = await api.post(path, body, idempotency_key="a")
        assert answer.status_code == 422
        assert [mistake["pointer"] for mistake in answer.json()["errors"]] == ["header:idempotency-key"]
    assert len(api.client.asked) == 1


async def test_what_is_no_key_is_told_and_a_content_type_may_be_corrected_under_the_same_one(api: Door):
    for key in ("", "a" * 256, "two words"):
        assert (await api.post("/entries", ENTRY, idempotency_key=key)).status_code == 422
    headers = [("authorization", f"Bearer {api.token}"), ("idempotency-key", "a"), ("idempotency-key", "b")]
    assert (await api.http.post("/v1/entries", json=ENTRY, headers=headers)).status_code == 422
    wrong = await api.post("/entries", ENTRY, idempotency_key="a", content_type="text/plain")
    assert (wrong.status_code, api.client.asked) == (415, [])
    assert (await api.post("/entries", ENTRY, idempotency_key="a")).status_code == 202


@pytest.mark.parametrize("stops", [False, True])
async def test_of_many_at_once_one_is_done_unless_its_server_stops(api: Door, stops: bool):
    api.client.opened = asyncio.Event()
    first = asyncio.create_task(api.post("/entries", ENTRY, idempotency_key="a"))
    while not api.client.asked:
        await asyncio.sleep(0)
    others = [await api.post("/entries", ENTRY, idempotency_key="a") for _ in range(5)]
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in others} == {(409, "2")}
    if stops:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    api.client.opened.set()
    if stops:  # another carries it out at once
        assert (await api.post("/entries", ENTRY, idempotency_key="a")).status_code == 202
        assert same_request(api)
    else:
        assert (await first).status_code == 202
        assert len(api.client.asked) == 1


def same_request(api: Door) -> bool:
    [first, second] = [request for *_, request in api.client.asked]
    return first == second is not None


@pytest.mark.parametrize("failure", [again("too-many", "wait"), RuntimeError("zoe")])
async def test_what_failed_here_may_be_tried_again_and_is_the_same_request(api: Door, failure: Exception):
    api.client.refusals["7"] = failure
    assert (await api.post("/entries", ENTRY, idempotency_key="a")).status_code in (429, 500)
    api.client.refusals.clear()
    repeated = await api.post("/entries", ENTRY, idempotency_key="a")
    assert (repeated.status_code, repeated.headers.get("idempotency-replayed")) == (202, None)
    assert same_request(api)


def later(api: Door, monkeypatch: pytest.MonkeyPatch, passed: timedelta) -> None:
    """Let time pass for all requests from now on."""
    take = api.store.take_request

    async def taken(key_id: str, key: str, digest: str, now: datetime, *, lease: timedelta) -> Any:
        return await take(key_id, key, digest, now + passed, lease=lease)

    monkeypatch.setattr(api.store, "take_request", taken)


async def test_what_a_killed_process_left_is_done_anew_under_the_same_id(api: Door, monkeypatch: pytest.MonkeyPatch):
    with patch.object(ApiAccess, "keep_answer", AsyncMock()):
        await api.post("/entries", ENTRY, idempotency_key="a")
    assert (await api.post("/entries", ENTRY, idempotency_key="a")).status_code == 409
    later(api, monkeypatch, timedelta(seconds=61))
    assert (await api.post("/entries", ENTRY, idempotency_key="a")).status_code == 202
    assert same_request(api)


async def test_a_request_that_takes_long_is_not_carried_out_twice(api: Door, monkeypatch: pytest.MonkeyPatch):
    renewed = asyncio.Event()

    async def renew(*_: Any) -> None:
        renewed.set()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await renewed.wait()
        await Response(status_code=204)(scope, receive, send)

    caller = caller_with(present(await api.keys.verify(api.token)))
    monkeypatch.setattr(api.store, "renew_request", renew)
    guarded = Idempotency(slow, api.store, lease=timedelta(milliseconds=30))

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await guarded({**scope, "state": {"caller": caller}}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as http:
        assert (await http.post("/", headers={"idempotency-key": "a"})).status_code == 204


async def test_a_key_that_was_forgotten_names_another_request(api: Door, monkeypatch: pytest.MonkeyPatch):
    await api.post("/entries", ENTRY, idempotency_key="a")
    later(api, monkeypatch, KEPT + timedelta(seconds=1))
    await api.post("/entries", ENTRY, idempotency_key="a")
    assert not same_request(api)


async def test_old_answers_are_forgotten_once_a_minute_all_of_them(api: Door, monkeypatch: pytest.MonkeyPatch):
    now, asked = monotonic(), list[datetime]()
    monkeypatch.setattr("gateway.api.idempotency.monotonic", lambda: now)

    async def prune(at: datetime) -> bool:
        asked.append(at)
        return len(asked) % 3 != 0

    monkeypatch.setattr(api.store, "prune_answers", prune)
    for passed, times in ((1, 0), (120, 3), (150, 3), (200, 6)):
        now = monotonic() + passed
        await api.post("/entries", ENTRY, idempotency_key=f"after-{passed}")
        assert len(asked) == times


@pytest.mark.parametrize(("more", "times"), [(0, 1), (-1, 2)])
async def test_an_answer_that_is_too_long_is_not_kept(
    api: Door, monkeypatch: pytest.MonkeyPatch, more: int, times: int
):
    length = len((await api.post("/entries", ENTRY)).content)
    api.client.asked.clear()
    monkeypatch.setattr("gateway.api.idempotency.LARGEST", length + more)
    for _ in range(2):
        assert (await api.post("/entries", ENTRY, idempotency_key="a")).status_code == 202
    assert len(api.client.asked) == times


async def test_a_batch_that_was_done_in_part_is_not_kept(api: Door):
    api.client.refusals["8"] = Problem("unavailable", "not now")
    batch = [{**ENTRY, "contact": {"id": number}} for number in (7, 8)]
    for statuses in ([202, 503], [202, 202]):
        answer = await api.post("/entries/batch", batch, idempotency_key="a")
        assert [result["status"] for result in answer.json()["results"]] == statuses
        api.client.refusals.clear()
    ids = {(contact, request) for contact, _, request in api.client.asked}
    assert (len(api.client.asked), len(ids), len({request for _, request in ids})) == (4, 2, 2)


async def test_answers_of_one_key_do_not_fill_the_store(api: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.api.idempotency.KEPT_OF_KEY", 200)
    for key in ("a", "b"):
        assert (await api.post("/entries/batch", [ENTRY, ENTRY], idempotency_key=key)).status_code == 200
    refused = await api.post("/entries", ENTRY, idempotency_key="c")
    assert (refused.status_code, refused.json()["code"]) == (429, "too-many")
    assert 3590 < int(refused.headers["retry-after"]) <= 3600
    assert (await api.post("/entries", ENTRY)).status_code == 202
    other = await api.limited("enter")
    assert (await other.post("/entries", ENTRY, idempotency_key="c")).status_code == 202
