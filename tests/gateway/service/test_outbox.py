"""What a process sends test messages with, by its settings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.route import Direct
from gateway.errors import BadInput
from gateway.service.caller import caller_with
from gateway.service.outbox import Outbox
from runtime.settings import Settings
from runtime.store import Store
from runtime.store.api_access import SCOPES, ApiKey

CALLER = caller_with(ApiKey("aaaaaaaa", "", SCOPES, None, None, "", datetime.now(UTC), "test"))
REQUEST: dict[str, Any] = {"source": "scenario: hello\ntrigger: order\nsteps: [{mail: x}]\n", "entry": {}}


async def test_it_sends_as_the_settings_say(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCENARIO_SECRET_TOKEN", "s3cret-value")
    async with Outbox.configured(Settings(), DestinationsFile(), store) as outbox:
        assert (outbox.channels.connections, outbox.book) == ({}, None)
        assert isinstance(outbox.routes, Direct)
        assert outbox.secrets.snapshot()["TOKEN"] == "s3cret-value"
        assert "s3cret" not in repr(outbox)


async def test_a_scenario_with_mistakes_sends_nothing(store: Store) -> None:
    async with Outbox.configured(Settings(), DestinationsFile(), store) as outbox:
        with pytest.raises(BadInput, match="the scenario has mistakes"):
            await outbox.send(CALLER, REQUEST, "mail")
