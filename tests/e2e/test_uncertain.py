"""A retry of many, after a worker was killed while messages that must not be sent twice were in flight."""

import asyncio
import re
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from activities.webhook.route import Diverted
from gateway.serving import Front, Parts, parts_of
from runtime.process.http_server import HttpServer
from runtime.store import Attempt
from service.client import Entered
from service.operations.background import running_operations
from tests.e2e.conftest import (
    WORKER,
    Command,
    Server,
    add_key,
    entry,
    listening,
    opened,
    outcomes,
    process,
    publish,
    store_in,
    until,
    until_held,
)
from tests.e2e.test_operating import scenario as scenario  # the fixture
from workflows import delivery

ONCE = """
scenario: once
trigger: segment
steps:
  - webhook: hook
    url: https://hooks.example.com/{{ contact.id }}
    body: {a: 1}
    on_unknown: hold
    timeout: 3s
    retry: {initial_interval: 1s, backoff_coefficient: 1}
"""
EACH = 3  # journeys of each group, by what the log of attempts says at the end
GROUPS = {
    word: [f"{word}-{number}" for number in range(EACH)] for word in ("delivered", "failed", "nothing", "refused")
}
UNCERTAIN = {"delivered": EACH, "failed": EACH, "nothing": EACH}
SAID = (
    f"{3 * EACH} messages may have been delivered (the log of attempts says delivered for {EACH}, failed for {EACH}, "
    f"nothing for {EACH})"
)
LEFT_OUT = f"scenario: {SAID}: left out, unless --unknown is given\n"
WHICH = {"scenario": "once", "step": "hook"}


async def test_a_retry_of_many_sends_nothing_twice_unless_it_is_told_to(
    server: Server, scenario: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log gets what the killed worker delivered only after the journeys are held, as if its store was away."""
    monkeypatch.setattr(delivery, "GRACE", timedelta(0))
    monkeypatch.setattr(delivery, "_PATIENCE", timedelta(0))
    calls, killed = Counter[str](), asyncio.Event()

    async def receive(request: web.Request) -> web.Response:
        contact = request.path.rpartition("/")[2]
        calls[contact] += 1
        group = contact.partition("-")[0]
        if group == "nothing":
            await killed.wait()
        status = {"failed": 503, "refused": 422}.get(group, 200)
        return web.Response(status=status if calls[contact] == 1 else 200)

    def of(word: str) -> list[int]:
        return [calls[contact] for contact in GROUPS[word]]

    async with (
        listening(receive) as url,
        opened(await server.connect(), tmp_path, routes=Diverted(url)) as site,
        site.working("journeys"),
    ):
        client, store, entered = site.client, site.store, dict[str, Entered]()

        async def enter(*words: str) -> None:
            for contact in (contact for word in words for contact in GROUPS[word]):
                entered[contact] = await client.enter(entry("once", contact))

        async def logged() -> list[Attempt]:
            return await store.deliveries(scenario="once")

        variables = {**server.environ, "SCENARIO_STORE": store_in(tmp_path), "TEST_RECEIVER": url, "TEST_STALLS": "all"}
        await publish(client, tmp_path, ONCE)
        async with process(*WORKER, "--queues", "webhooks", log=tmp_path / "log", environ=variables):
            await enter("delivered", "failed")
            made = await until(logged, lambda found: len(found) == 2 * EACH)
            await enter("nothing")
            await until(lambda: asyncio.sleep(0, of("nothing")), lambda found: found == [1] * EACH)
        killed.set()
        with closing(sqlite3.connect(tmp_path / "store.db")) as database, database:
            database.execute("DELETE FROM deliveries WHERE outcome = 'delivered'")
        async with site.working("webhooks"):
            await enter("refused")
            await until_held(client, 3 * EACH, reason="unknown")
            await until_held(client, EACH, reason="permanent")
            before = calls.copy()
            assert set(before.values()) == {1}, "the next worker sends nothing that may have been delivered"
            await store.record([one for one in made if one.outcome == "delivered"])

            many = ("retry", "--scenario", "once", "--reason", "again")
            ran = await scenario(*many, "--dry-run")
            assert (ran.status, ran.err) == (
                0,
                f"{LEFT_OUT}scenario: retry would be sent to 3 journeys: nothing was done\n",
            )
            ran = await scenario(*many)
            assert (ran.status, ran.out, ran.err) == (0, "accepted 3\n", LEFT_OUT)
            for contact in GROUPS["refused"]:
                assert outcomes(await entered[contact].result()) == [("hook", "delivered")]
            assert calls == before + Counter(GROUPS["refused"])

            async with (
                HttpServer() as gateway,
                running_operations(client.services.operations, client.services.campaigns),
                httpx.AsyncClient(trust_env=False, timeout=60) as http,
            ):
                gateway.start(Front(parts_of(client, store, Parts(api=True, pages=True))))
                key = await add_key(store)
                headers = {"authorization": f"Bearer {key}"}

                async def ended(identifier: str) -> dict[str, Any]:
                    address = f"{gateway.url}/v1/operations/{identifier}"
                    answer = await until(lambda: http.get(address, headers=headers), lambda got: got.json()["ended_at"])
                    return answer.json()

                async def operate(**more: Any) -> dict[str, Any]:
                    body = {"operation": "retry", "which": WHICH, "reason": "again", **more}
                    begun = await http.post(f"{gateway.url}/v1/operations", json=body, headers=headers)
                    return await ended(begun.json()["id"])

                async def press() -> dict[str, Any]:
                    """Retry all on the page of held journeys, without the tick."""
                    form = {"operation": "retry", **WHICH}
                    await http.post(f"{gateway.url}/sign-in", data={"key": key})
                    page = await http.get(f"{gateway.url}/held/operation", params=form)
                    assert f"{3 * EACH} may have been delivered: the log" in page.text
                    token = re.findall(r'name="token" value="([^"]+)"', page.text)[0]
                    begun = await http.post(
                        f"{gateway.url}/held/operation", data={**form, "token": token, "reason": "again", "rate": "50"}
                    )
                    return await ended(begun.headers["location"].rpartition("/")[2])

                for told in (await operate(), await press()):
                    assert (told["uncertain"], told["accepted"]) == (UNCERTAIN, 0)
                assert calls == before + Counter(GROUPS["refused"])
                told = await operate(unknown=True)
                assert (told["uncertain"], told["accepted"]) == (UNCERTAIN, 3 * EACH)
            for one in entered.values():
                assert outcomes(await one.result()) == [("hook", "delivered")]
    assert of("delivered") == [1] * EACH, "the log has them as delivered"
    assert of("failed") == of("nothing") == of("refused") == [2] * EACH
