"""The rights in the documentation are enough for a gateway that only the world reaches."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runtime.encryption.codec import check_keys, recording_keys
from runtime.encryption.keyring import Keyring
from runtime.store import AcceptedEntry, Store
from scenario.policies.suppression import Suppression
from scenario.words import EVENT_TYPES
from tests.factories import admission_request
from tests.runtime.store.conftest import Server, migrate

DOCS = Path(__file__).parents[3] / "docs" / "write/consent.md"
NOW = datetime(2026, 3, 31, 8, tzinfo=UTC)


@pytest.fixture
async def restricted_url(postgresql: Server, postgresql_url: str) -> str:
    """The URL of a store for the role that the documentation makes."""
    await migrate(postgresql_url)
    schema, role = re.findall(r"t[0-9a-f]{32}", postgresql_url)[0], f"r{uuid.uuid4().hex}"
    [block] = re.findall(r"```sql\n(CREATE ROLE .*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    with postgresql.connect() as connection:
        connection.execute(f"SET search_path = {schema}".encode())
        connection.execute(re.sub(r"\bgateway\b", role, block).encode())
        connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}".encode())
    return postgresql_url.replace("postgres@", f"{role}@")


async def test_the_documented_rights_are_enough_for_callbacks_and_unsubscribing(
    restricted_url: str, postgresql_url: str
) -> None:
    async with Store.open(postgresql_url) as store:
        await store.want_events(EVENT_TYPES)
        await store.admit(admission_request(goal_until=NOW))
    async with Store.open(restricted_url, migrate=False) as store:
        await store.check()
        assert await store.namespace_claim("default") is None
        assert await store.journal_state() is None
        await store.database_identity()
        keys = store.sealing = Keyring(store, None)
        await check_keys(keys, store)
        async with recording_keys(keys, store, "gateway"):
            pass
        # A contact unsubscribes: its journeys are told.
        await store.suppress(Suppression("email", "a", "unsub", NOW))
        assert await store.is_erased("7") is False
        assert await store.pending_entries("7") == []
        await store.forget_accepted(AcceptedEntry("wishes/7", "r1", "7", NOW))
        assert len(await store.running("7")) == 1
        assert await store.admitted([("wishes/7", "r1")]) == set()
        assert await store.has_entered("7") is True
        assert await store.open_goals("7", NOW) == []
        assert await store.version("wishes", 1) is None
        assert await store.reach("welcome/7", "run-1", NOW)
        await store.depart("welcome/7", "run-1", "lost", None, NOW)
        # Bounces, and answers to text messages.
        await store.record_soft_bounce("email", ["a"], "msg_1", NOW)
        assert len(await store.suppressed("email", ["a"])) == 1
        await store.unsuppress("sms", ["a"], source="stop")
        # Events from providers.
        assert await store.sent_deliveries(["msg_1"]) == {}
        await store.keep_provider_events(["hash"], NOW)
        assert await store.known_provider_events(["hash"]) == {"hash"}
