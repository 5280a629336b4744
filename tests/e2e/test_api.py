"""The API as engines meet it: real server, real worker, requests that race, and a gateway that is killed."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import text

from runtime.store import Store
from tests.e2e.apis import Api, api
from tests.e2e.conftest import Process, Server, Stands, entry, listening_port, process, publish, store_in
from tests.servers import reserved_port

pytestmark = pytest.mark.encrypted

SHORT = """
scenario: short
trigger: segment
steps:
  - exit: done
"""
LONG = """
scenario: long
trigger: segment
steps:
  - wait_for: order.delivered
    for: 1h
"""
NEVER = """
scenario: never
trigger: segment
entry: {if: contact.email != blank}
steps:
  - exit: done
"""
EXAMPLES = 2
"""Requests of each kind that are tried at each address: with more, the suite takes longer and finds no more."""
MANY = 30
"""Entries of the batch that is broken off in the midst."""


@dataclass(frozen=True)
class Served(Api):
    store: Store

    async def journeys(self, scenario: str) -> Counter[str]:
        return Counter(await self.column(f"SELECT contact_id FROM entries WHERE scenario = '{scenario}'"))

    async def column(self, statement: str) -> list[str]:
        database = self.store._database  # pyright: ignore[reportPrivateUsage]
        return [next(iter(row.values())) for row in await database.read(text(statement))]


@asynccontextmanager
async def served(stands: Stands, folder: Path) -> AsyncGenerator[Served]:
    async with stands() as stand, api(stand.client) as made:
        for scenario in (SHORT, LONG, NEVER):
            await publish(stand.client, folder, scenario)
        yield Served(made.url, made.key, stand.client.store)


KNOWN = (
    (202, "POST", "/v1/entries", entry("long", 11), ""),
    (409, "POST", "/v1/entries", entry("long", 11), ""),
    (422, "POST", "/v1/entries", entry("log", 11), ""),
    (201, "POST", "/v1/entries", entry("long", 12), "wait=30"),
    (200, "POST", "/v1/entries", entry("never", 12), "wait=30"),
    (200, "POST", "/v1/entries/batch", [entry("long", 13), entry("long", 12), entry("log", 14)], ""),
    (202, "POST", "/v1/events", {"contact": 11, "name": "order.delivered"}, ""),
    (404, "POST", "/v1/events", {"journey": "long/99", "name": "order.delivered"}, ""),
    (200, "POST", "/v1/events/batch", [{"contact": "12", "name": "order.delivered"}, {"name": "x"}], ""),
    (200, "PATCH", "/v1/contacts/{contact}", {"language": "fr"}, ""),
)
"""Requests whose answers are known: status, request, and its header Prefer."""


async def test_one_comes_in_however_often_it_is_asked_at_once_and_a_killed_batch_goes_on(
    stand: Stands, server: Server, tmp_path: Path
) -> None:
    # The process takes some seconds to start: meanwhile there is something else to do.
    metrics = reserved_port()
    async with served(stand, tmp_path) as here, here.http() as http, gateway(server, tmp_path, metrics) as mortal:
        # Twenty at once under one key; without one; and told of what happened.
        for contact, more in ((1, {"idempotency-key": "one"}), (2, {})):
            asked = [http.post("/v1/entries", json=entry("long", contact), headers=more) for _ in range(20)]
            answers = await asyncio.gather(*asked)
            replayed = [answer for answer in answers if answer.headers.get("idempotency-replayed")]
            statuses = Counter(answer.status_code for answer in answers if answer not in replayed)
            assert statuses[202] == 1
            assert statuses[202] + statuses[409] + len(replayed) == 20
            if not more:
                assert {a.json().get("journey") for a in answers} == {"long/2"}
        waited = await http.post("/v1/entries", json=entry("long", 3), headers={"prefer": "wait=30"})
        assert (waited.status_code, waited.json()["outcome"]) == (201, "admitted")
        mistaken = (await http.post("/v1/entries", json=entry("log", 3))).json()
        assert mistaken["errors"][0]["did_you_mean"] == "long"
        told = await http.post("/v1/events", json={"journey": "long/3", "name": "order.delivered"})
        assert told.json() == {"told": 1, "pending": 0, "goals": 0, "unknown": False}
        assert await here.journeys("long") == {"1": 1, "2": 1, "3": 1}

        # Many, which end at once: who is entered again is in a second time.
        batch = "\n".join(json.dumps(entry("short", number)) for number in range(MANY))
        headers = {"content-type": "application/x-ndjson", "idempotency-key": "batch"}

        async def send(way: httpx.AsyncClient) -> httpx.Response:
            return await way.post("/v1/entries/batch", content=batch, headers=headers)

        url = f"http://127.0.0.1:{await listening_port(tmp_path / 'log')}"
        async with here.http(url) as other, asyncio.timeout(240):
            await other.get("/v1/openapi.json")
            page = (await other.get(f"http://127.0.0.1:{metrics}/metrics")).text
            assert 'http_server_request_duration_seconds_count{http_request_method="GET"' in page
            assert 'temporal_request_total{namespace="' + server.namespace + '",operation="DescribeNamespace"' in page
            with pytest.raises(httpx.TransportError):
                await send(other)
            assert await mortal.wait() == -signal.SIGKILL
        assert (await send(http)).status_code == 409, "nobody knows yet that it was killed"
        database = here.store._database  # pyright: ignore[reportPrivateUsage]
        await database.write(
            text("UPDATE api_answers SET renewed_at = '2026-01-01 00:00:00.000000' WHERE status IS NULL")
        )
        again = (await send(http)).json()
        assert (again["accepted"], {one["status"] for one in again["results"]}) == (MANY, {202})
        async with asyncio.timeout(240):
            while (
                len(await here.column("SELECT 1 FROM entries WHERE scenario = 'short' AND ended_at IS NOT NULL")) < MANY
            ):
                await asyncio.sleep(0.05)
        assert await here.journeys("short") == {str(number): 1 for number in range(MANY)}


def gateway(server: Server, folder: Path, metrics: int) -> AbstractAsyncContextManager[Process]:
    command = [sys.executable, *f"-m tests.e2e.mortal serve --api --port 0 --metrics-port {metrics}".split()]
    dies = {"TEST_DIES": f"runtime.store.store:Store.accept:{MANY // 2}"}
    environ = {**server.environ, **dies, "SCENARIO_STORE": store_in(folder)}
    return process(*command, log=folder / "log", cwd=folder, environ=environ)


@pytest.mark.parametrize("mode", ["positive", pytest.param("negative", marks=pytest.mark.nightly)])
async def test_whatever_is_asked_is_answered_as_declared(stand: Stands, tmp_path: Path, mode: str) -> None:
    async with served(stand, tmp_path) as here:
        await asyncio.to_thread(ask_all, here, mode)


def ask_all(here: Served, mode: str) -> None:
    # Imported here: it takes half a second, in each process of the tests.
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    responses = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_headers_conformance,
        checks.response_schema_conformance,
    ]
    with catch_warnings():
        simplefilter("ignore")  # of what others do in the description's name
        schema: Any = schemathesis.openapi.from_url(f"{here.url}/v1/openapi.json")
        for status, method, path, body, prefer in KNOWN:
            case = schema[path][method].Case(
                body=body, path_parameters={"contact": "11"}, media_type="application/json"
            )
            answer = case.call(headers={**here.headers, **({"prefer": prefer} if prefer else {})}, timeout=120)
            assert answer.status_code == status, answer.text
            case.validate_response(answer, checks=responses)
        asked = 0
        for found in schema.get_all_operations():
            operation = found.ok()

            @settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
            @given(case=operation.as_strategy(schemathesis.GenerationMode(mode)))
            def ask(case: Any) -> None:
                answer = case.call(headers=here.headers, timeout=120)
                if answer.status_code != 431:  # too long for the server, which has not asked the API
                    case.validate_response(answer, checks=responses)

            ask()
            asked += 1
        assert asked > 10
