"""An erasure as it is asked for: on record before anything is done, begun once, started again where that was lost."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities import erasure
from activities.background import ErasurePass
from activities.erasure import start_open_erasures, starting_erasures
from authoring.errors import BadInput
from runtime.encryption.keyring import Keyring
from runtime.store import Store, StoreUnavailable
from service.client import ScenarioClient
from tests.fakes import ERASURE
from tests.gateway.api.conftest import opened
from tests.search import Search

NOW = ERASURE.requested_at
WHO: dict[str, Any] = {"operator": "ann", "reason": "request 4711"}


@dataclass
class Server(Search):
    """Temporal, which starts workflows once."""

    looked: asyncio.Event = field(default_factory=asyncio.Event)

    async def start_workflow(self, name: str, argument: ErasurePass, **given: Any) -> None:
        self.looked.set()
        if (identifier := given["id"]) in self.started:
            raise WorkflowAlreadyStartedError(identifier, "Erase")
        assert identifier == f"erasure-{argument.erasure}"
        await super().start_workflow(name, argument, **given)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def client(store: Store, server: Server) -> ScenarioClient:
    store.sealing = Keyring(store, None)
    return ScenarioClient(server.client, store)


async def test_it_is_on_record_before_the_key_is_destroyed(
    client: ScenarioClient, server: Server, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Keyring, "destroy", AsyncMock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        await client.erase("7", **WHO)
    [view] = await client.erasures(is_open=True)
    assert (view.state, view.reason, server.started) == ("requested", "request 4711", {})
    await start_open_erasures(server.client, client.store)
    assert list(server.started) == [f"erasure-{view.id}"]


async def test_while_it_is_open_who_asks_again_gets_the_same_one(client: ScenarioClient, server: Server):
    first, again = [await client.erase("7", **WHO), await client.erase(" 7", operator="bob", reason="once more")]
    assert (again, list(server.started)) == (first, [f"erasure-{first.id}"])
    await client.store.finish_erasure(first.id or "", first.contact, NOW)
    another = await client.erase("7", **WHO)
    assert (another.id != first.id, first.before, another.before) == (True, False, True)
    assert another.contact == first.contact


async def test_where_temporal_is_away_it_is_accepted_and_says_so(
    client: ScenarioClient, server: Server, caplog: pytest.LogCaptureFixture
):
    server.refusal = RPCError("7", RPCStatusCode.UNAVAILABLE, b"")
    view = await client.erase("7", **WHO)
    assert view.trouble == "Temporal did not start it yet (UNAVAILABLE): a worker has it started"
    assert await client.store.is_erased("7")
    assert caplog.messages == [f"the erasure {view.id} is not started yet (UNAVAILABLE): a worker starts it"]


async def test_one_that_temporal_does_not_finish_says_so(client: ScenarioClient, store: Store):
    said: list[str | None] = []
    for number, minutes in enumerate((0, 11)):
        asked = datetime.now(UTC) - timedelta(minutes=minutes)
        one = await store.add_erasure(replace(ERASURE, id=f"e{number}", contact_hash=f"c{number}", requested_at=asked))
        for remains in (False, True):
            if remains:
                await store.add_erasure_run(one.id, "sale/7", "r1", running=True)
            await store.count_erasure_runs(one.id, NOW)
            said.append((await client.erasure(one.id)).trouble)
    assert said == [None, None, None, "Temporal has not deleted all histories yet"]


async def test_a_dry_run_writes_nothing_nor_does_what_cannot_be_an_id(client: ScenarioClient, store: Store):
    for contact in (" ", "\udcff", "a\nb", "a%2Fb"):
        for dry_run in (True, False):
            with pytest.raises(BadInput, match="id"):
                await client.erase(contact, **WHO, dry_run=dry_run)
    assert await client.erasures() == []
    for dry_run in (True, False, True):
        was_there = bool(await store.wrapped_keys())
        view = await client.erase("7", **WHO, dry_run=dry_run)
        assert bool(view.contact) is bool(view.id) is not dry_run
        # What contacts are known by: the program that erases makes it, and nobody who merely looks.
        assert bool(await store.wrapped_keys()) is (was_there or not dry_run)
    assert view.before


async def test_workers_start_open_ones_again_and_look_on_after_a_failure(
    client: ScenarioClient, server: Server, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(erasure, "EVERY", 0.01)
    server.refusal = RPCError("", RPCStatusCode.UNAVAILABLE, b"")
    view = await client.erase("7", **WHO)
    server.looked.clear()
    failures = [RuntimeError("a mistake in the program"), StoreUnavailable("away"), *[[view.id]] * 1000]
    monkeypatch.setattr(store, "open_erasures", AsyncMock(side_effect=failures))
    temporal = server.client
    async with asyncio.timeout(60), starting_erasures(temporal, store), starting_erasures(temporal, store):
        await server.looked.wait()
        server.refusal = None
        while not server.started:
            await asyncio.sleep(0.01)
    assert list(server.started) == [f"erasure-{view.id}"]


async def test_it_is_asked_for_and_looked_at_over_http(store: Store, server: Server):
    store.sealing = Keyring(store, None)
    async with opened(store, server) as door:
        looked = await door.call("DELETE", "/contacts/7", params={"reason": "4711", "dry_run": True})
        assert (looked["id"], looked["state"], looked["dry_run"]) == (None, None, True)
        answer = await door.ask("DELETE", "/contacts/7", params={"reason": "4711"})
        begun = answer.json()
        assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/erasures/{begun['id']}")
        assert (begun["state"], begun["reason"], begun["finished_at"]) == ("requested", "4711", None)
        assert begun["operator"].startswith("key ")
        assert begun["contact"] == await Keyring(store, None).name_of("7")
        assert await door.call("GET", f"/erasures/{begun['id']}") == begun
        await store.finish_erasure(begun["id"], begun["contact"], NOW)
        for contact in "89":
            await door.call("DELETE", f"/contacts/{contact}", status=202, params={"reason": "4711"})
        [newer, [last]] = await door.pages("/erasures", limit=2)
        assert (len(newer), last["id"]) == (2, begun["id"])
        assert await door.pages("/erasures", open=True) == [newer]
