"""The suppressions of a contact, by the addresses that a running journey began with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import BadInput
from gateway.service.suppressions import ContactSuppressions, suppressions_of
from gateway.why.story import told
from runtime.derived_keys import AddressHashes
from runtime.store import Store
from scenario.policies.suppression import Suppression
from tests.factories import NOW
from tests.gateway.journey import ENTRY, HELD
from tests.gateway.search import Search

HASHES = AddressHashes([b"k" * 32])
RUNNING = told(HELD, ENTRY)
KNOWN = {"contact": {"id": 7, "email": "Zoe@Example.com", "cellphone": "none"}}


async def test_addresses_of_a_running_journey_are_looked_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    bounce = Suppression("email", HASHES.of("email", "zoe@example.com")[0], "bounce", NOW)
    await store.suppress(bounce)
    await store.suppress(replace(bounce, address_hash="0" * 64))
    known: list[dict[str, Any] | Exception | None] = [KNOWN, {"contact": {}}, None, BadInput("no")]

    async def submitted(_: object, journey: str) -> dict[str, Any] | None:
        assert journey == RUNNING.journey
        if isinstance(given := known.pop(0), Exception):
            raise given
        return given

    monkeypatch.setattr("gateway.service.suppressions.submitted_entry", submitted)

    async def look(*stories: Any, hashes: AddressHashes | None = HASHES) -> ContactSuppressions:
        return await suppressions_of(Search().client, store, hashes, stories)

    assert await look(RUNNING) == ContactSuppressions(RUNNING.journey, ["email"], [bounce])
    for _ in range(2):
        assert (await look(RUNNING)).unknown == f"the entry of {RUNNING.journey} has no addresses"
    assert (await look(RUNNING)).unknown == "no"
    over = RUNNING.model_copy(update={"now": None})
    assert (await look(over)).unknown == "no running journey above knows the contact's addresses"
    assert (await look(RUNNING, hashes=None)).unknown is not None
