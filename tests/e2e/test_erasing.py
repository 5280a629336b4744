"""A contact is erased to the end whatever is lost or away, and nothing leads to it any more."""

import asyncio
import itertools
import sqlite3
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio import activity

from activities import erasure
from runtime.local.devserver import DevServer
from tests.e2e.conftest import namespace_on, opened, publish, until, until_state
from tests.factories import present
from workflows import background

CONTACT = "zoe-4711-contact"
MARK = "Zo3-3R4S3D"
JOURNEYS = 4
MANY = """
scenario: many
trigger: order
entry: {key: "{{ order.external_id }}", again: always}
steps:
  - sms: hello
    text: "hello {{ contact.firstname }}"
  - wait: 30d
"""


def entry_of(number: int) -> dict[str, Any]:
    return {
        "scenario": "many",
        "contact": {"id": CONTACT, "firstname": MARK, "cellphone": "+33698765432"},
        "trigger": {"type": "order", "order": {"external_id": f"A{number}"}},
    }


def holding(database: Path, *words: str) -> dict[str, int]:
    found: dict[str, int] = {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
            holds = sum(any(word.encode() in _bytes(row) for word in words) for row in rows)
            if holds:
                found[table] = holds
    return found


def _bytes(row: tuple[Any, ...]) -> bytes:
    return b"\0".join(cell if isinstance(cell, bytes) else str(cell).encode() for cell in row)


async def test_it_is_finished_whatever_worker_is_lost(
    deleting_server: DevServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While journeys are ended, histories deleted, and rows cleared."""
    monkeypatch.setattr(erasure, "PAUSES", (0.3,))
    monkeypatch.setattr(background, "HEARTBEAT", timedelta(seconds=0.8))
    monkeypatch.setattr(erasure, "_BEAT", 0.15)
    lost = list[str]()

    def lose(path: str, number: int) -> None:
        """Lose the attempt that makes the nth call of a function: Temporal hears no more of it."""
        real, calls = resolve_name(path), itertools.count(1)

        def call(*given: Any, **more: Any) -> Any:
            if next(calls) == number:
                lost.append(path)
                activity.raise_complete_async()
            return real(*given, **more)

        monkeypatch.setattr(path.replace(":", "."), call)

    places = (
        "activities.erasure:ErasureActivities._terminate",
        "activities.erasure:DeleteWorkflowExecutionRequest",
        "runtime.store:Store.erase",
    )
    server = await namespace_on(deleting_server)
    temporal = await server.connect()
    async with opened(temporal, tmp_path, inbox=tmp_path / "inbox", sms=SecretStr("local:")) as site:
        client = site.client
        async with site.working():
            await publish(client, tmp_path, MANY)
            entered = await asyncio.gather(*(client.enter(entry_of(number), settle=60) for number in range(JOURNEYS)))
            for journey in entered:
                await until_state(client, journey.id, "waiting")
            await until(partial(client.store.deliveries, contact_id=CONTACT), lambda found: len(found) == JOURNEYS)
            for place, number in zip(places, (3, 3, 1), strict=True):
                lose(place, number)
            view = await client.erase(CONTACT, operator="ann", reason="request 4711")
            assert await client.store.is_erased(CONTACT)
            [view] = await until(client.erasures, lambda views: views[0].finished_at is not None, within=180)
            handle = temporal.get_workflow_handle(f"erasure-{view.id}")
            await handle.result()
        assert lost == [*places]
        assert (view.state, view.ended, view.histories, view.remaining) == ("finished", JOURNEYS, JOURNEYS, 0)
        assert (view.rows.entries, view.rows.deliveries) == (JOURNEYS, JOURNEYS)
        assert [(one.channel, one.destination) for one in view.sent_to or ()] == [("sms", "local")]
        assert view.at < present(view.confirmed_at) < present(view.finished_at)
        assert CONTACT not in view.model_dump_json()
        kept = str(await handle.fetch_history())
        assert (CONTACT in kept, MARK in kept) == (False, False)
        assert holding(tmp_path / "store.db", CONTACT, MARK) == {}
        assert holding(server.database, MARK) == {}
        assert holding(server.database, CONTACT).keys() <= {"tasks", "tasks_v2", "timer_tasks"}  # until these are due
    assert MARK not in caplog.text
