"""Secrets are nowhere, and personal data is where it has to be, whatever happens to a journey's deliveries.

`SENT`, `ANSWERED` and the like say where a contact's data may be, whole: it is asserted to be there and nowhere else.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, Final, cast
from unittest.mock import AsyncMock

import httpx
import pytest
from google.protobuf.message import Message
from pydantic import SecretStr
from temporalio.api.enums.v1 import EventType

from activities.sms.twilio import Twilio
from activities.webhook.signing import Key
from gateway.callbacks.app import Receiving
from runtime.local.devserver import DevServer
from runtime.local.receiver import Inbox
from runtime.settings import Settings
from tests.e2e import planted
from tests.e2e.conftest import Server, namespace_on
from tests.e2e.decoding import decoded
from tests.e2e.ordeal import JOURNEY, Place, placed, through_everything
from tests.e2e.planted import ADDRESSES, LITERAL, MARK, SECRETS, process, spelled, traces
from tests.factories import present
from tests.servers import reserved_port
from worker import services

SENT: Final = {
    ("WORKFLOW_EXECUTION_STARTED", "input"),  # the entry
    ("WORKFLOW_EXECUTION_SIGNALED", "input"),  # an event or a change that somebody told
    ("ACTIVITY_TASK_SCHEDULED", "input"),  # the fields that the step's templates name
    ("ACTIVITY_TASK_COMPLETED", "result"),  # the response, where the step has a `save:`
}
"""Where a history holds all of a contact's data: what came in, what is sent, what a scenario asked to keep."""
ANSWERED: Final = {
    ("ACTIVITY_TASK_FAILED", "failure"),
    ("ACTIVITY_TASK_STARTED", "last_failure"),
    ("WORKFLOW_EXECUTION_UPDATE_COMPLETED", "outcome"),  # the progress, at a step that is held
    ("MARKER_RECORDED", "details"),  # what was last answered to a delivery whose deadline passed while it waited
}
"""Where else it holds how receivers answered, which may repeat what they were sent: addresses and numbers masked."""
ROWS: Final = {("deliveries", "response")}
"""The same in the store."""
TOLD: Final = {"description at down", "progress at refused", "progress at overdue"}
"""The same where Temporal shows a failed attempt, and the journey the step that it is held at."""
SHOWN: Final = {"command show planted/4718", *("command deliveries --format=json", "command deliveries --format=text")}
"""The same where operators look at it."""
FILES: Final = {"history", "store.db", "temporal.db"}
"""All of the above, and no more."""
PREVIEWS: Final = {"command preview --format=json", "command preview --format=text"}
"""Shown to whoever has the entry."""


def in_history(event: Message, words: set[bytes]) -> Iterator[tuple[str, str]]:
    """The fields of a history's event that hold one of the words, headers and summaries among them."""
    name = EventType.Name(cast("Any", event).event_type).removeprefix("EVENT_TYPE_")
    for descriptor, value in event.ListFields():
        if descriptor.containing_oneof is not None and isinstance(value, Message):
            parts = [(part.name, held) for part, held in value.ListFields()]
        else:
            parts = [(descriptor.name, value)]
        for part, held in parts:
            if any(word in _bytes(held) for word in words):
                yield name, part


def _bytes(value: Any) -> bytes:
    if isinstance(value, Message):
        return value.SerializeToString(deterministic=True)
    return value if isinstance(value, bytes) else str(value).encode()


def in_store(file: Path, words: set[bytes]) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(file)) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found: set[tuple[str, str]] = set()
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = store.execute(f"SELECT * FROM {table}")
            columns = [column[0] for column in rows.description]
            for row in rows:
                found |= {
                    (table, column)
                    for column, value in zip(columns, row, strict=True)
                    if any(word in _bytes(value) for word in words)
                }
    return found


def hidden(place: Place) -> set[bytes]:
    secrets = [*SECRETS.values(), LITERAL, planted.CALLBACK_KEY, planted.CALLBACK_OLD, planted.COLLECTOR]
    secrets += [SECRETS["TOKEN"][:-4], place.echo.tls_key(), planted.SMTP_PASSWORD, planted.SMS_TOKEN]
    return {trace for secret in (*secrets, *place.echo.tokens()) for trace in traces(secret)}


async def printed() -> bytes:
    """Print what holds secrets in a worker and a gateway."""
    settings = Settings(
        smtp=SecretStr(f"smtps://shop:{planted.SMTP_PASSWORD}@127.0.0.1:465"),
        sms=SecretStr(f"twilio://AC1:{planted.SMS_TOKEN}@?from=Shop"),
    )
    async with services(settings) as opened:
        wax, callbacks = opened.routes.named("wax"), present(opened.channels.callbacks)
        mailer, text = opened.channels.connection("email"), opened.channels.connection("sms")
        things = [
            *(settings, opened, opened.secrets, opened.secrets.snapshot(), opened.destinations, opened.channels),
            *(opened.destinations.book, callbacks, wax, wax.named, mailer, present(mailer).server, text),
            *(Key.parse(SECRETS[name]) for name in ("SIGN", "SIGN_OURS")),
            *(Twilio("AC1", planted.SMS_TOKEN, "Shop"), Receiving(callbacks, AsyncMock())),
        ]
        return "\n".join(f"{thing!r}\n{thing}" for thing in things).encode()


@pytest.fixture
async def alone(temporal_program: Path, tmp_path: Path) -> AsyncIterator[Server]:
    del temporal_program  # it is there
    async with DevServer(tmp_path / "temporal") as started:
        yield await namespace_on(started)


@pytest.mark.encrypted
async def test_secrets_are_nowhere_and_personal_data_where_it_has_to_be(
    alone: Server, inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, encryption: bool
) -> None:
    port = reserved_port()
    async with placed(alone, inbox, tmp_path, monkeypatch) as place:
        worker = process("worker", tmp_path / "worker.log", place.environ, "--metrics-port", str(port))
        async with AsyncExitStack() as running:
            await through_everything(place, asyncio.create_task(running.enter_async_context(worker)))
            async with httpx.AsyncClient(trust_env=False) as http:
                metrics = (await http.get(f"http://127.0.0.1:{port}/metrics")).content
        as_kept = (await place.handle.fetch_history()).events
        history = [await decoded(event, place.client) for event in as_kept]
        said = place.said | {"history": b"".join(event.SerializeToString() for event in history)}
        said["printed"] = await printed()
    store = tmp_path / "store.db"
    seen = in_store(store, {b"planted"})
    spellings = {text for address in ADDRESSES[:2] for text in spelled(address)}
    personal = [{word.encode() for word in (*ADDRESSES, *spellings)}, {MARK.encode()}]
    columns = [in_store(store, words) for words in personal]
    files = (*tmp_path.glob("*.log"), *tmp_path.glob("store.db*"), *alone.database.parent.glob("temporal.log"))  # noqa: ASYNC240
    kept_by_server = b"".join(path.read_bytes() for path in alone.database.parent.glob("temporal.db*"))
    said |= (
        {path.name: path.read_bytes() for path in files}
        | {"temporal.db": kept_by_server}
        | {"spans": bytes(place.echo.spans)}
    )

    kept = {name: said[name] for name in ("temporal.db", *(path.name for path in files))} | {
        "history as kept": b"".join(event.SerializeToString() for event in as_kept),
        "metrics": metrics,
        **{
            name: what
            for name, what in said.items()
            if name.startswith(("spans", "answers", "description", "details", "metrics"))
        },
    }
    if encryption:
        spelled_out = {word for text in (*ADDRESSES, MARK, planted.REASON) for word in planted.spellings(text)}
        assert [(where, word) for where, what in kept.items() for word in spelled_out if word in what] == []

    # Receivers got it all, and wherever something is looked for, there is something of the journey.
    sent = repr(place.echo.requests).encode()
    assert all(SECRETS[name].encode() in sent for name in ("TOKEN", "PIN"))
    assert [len(found["webhook-signature"].split()) for path, found, _ in place.echo.requests if "/wax/ok" in path] == [
        3
    ]
    assert len(place.echo.tokens()) >= 6
    wanted = ("history", "spans", "worker.log", "gateway.log", "store.db", "temporal.db", *SHOWN)
    assert b"scenario_" in metrics or b"temporal_" in metrics
    served = said["metrics of the gateway"]
    assert b'http_server_request_duration_seconds_count{http_request_method="POST"' in served
    assert b"temporal_request_total{" in served
    assert [where for where in wanted if JOURNEY.encode() not in said[where]] == []
    assert {"entries", "deliveries", "scenario_versions"} <= {table for table, _ in seen}
    assert b"wax" in said["printed"]

    secret = hidden(place)
    assert [(where, word) for where, what in said.items() for word in secret if word in what] == []

    all_of_it, what_is_said = ({place for event in history for place in in_history(event, words)} for words in personal)
    assert all_of_it == SENT
    assert what_is_said == SENT | ANSWERED
    assert columns == [set(), set() if encryption else ROWS]
    addressed, marked = (
        {where for where, what in said.items() if any(word in what for word in words)} for words in personal
    )
    in_clear = {"history"} if encryption else FILES
    assert addressed <= {*in_clear, *PREVIEWS} - {"store.db"}
    assert marked <= {*in_clear, *PREVIEWS, *TOLD, *SHOWN}
    assert {"history", *SHOWN, *PREVIEWS} <= marked
