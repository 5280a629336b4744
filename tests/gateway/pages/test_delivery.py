"""The page of a delivery: its attempts, and what they sent."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from activities.interface import Delivery
from runtime.store import Attempt
from tests.factories import attempt
from tests.gateway.pages.conftest import Site
from tests.gateway.service.test_stats import publish

SCENARIO = """
scenario: sale
trigger: segment
steps:
  - webhook: hook
    url: https://hooks.example.com/{{ contact.id }}
    headers: {Authorization: "Bearer {{ secrets.WAX_TOKEN }}"}
    body: {name: "{{ contact.firstname }}"}
"""


async def test_what_was_sent_needs_a_scope_and_is_logged_without_content(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    known = {"contact": {"id": "7", "firstname": "Zoé\u202e<b>"}}
    one = Delivery(id="msg_1", scenario="sale@1", step="hook", contact="7", now="2026-03-31T10:00:00+02:00", data=known)
    inputs = [(one, datetime(2026, 3, 31, 8, tzinfo=UTC))]

    async def scheduled(_: object, attempts: Sequence[Attempt]) -> list[Any]:
        assert [each.delivery_id for each in attempts] == ["msg_1"]
        return inputs

    monkeypatch.setattr("gateway.service.content.scheduled", scheduled)
    await publish(site.store, SCENARIO)
    await site.store.record([attempt(scenario="sale", workflow_id="sale/7", response="Zoé")])
    await site.sign_in("read")
    hidden = await site.get("/deliveries/msg_1")
    assert "your key needs the scope content" in hidden.text()
    assert "Zoé" not in hidden.html
    assert "looks at" not in caplog.text
    key = await site.sign_in("read", "content")
    shown = await site.get("/deliveries/msg_1")
    assert shown.headers["cache-control"] == "no-store"
    assert shown.text("pre").startswith("POST https://hooks.example.com/7")
    assert "authorization: Bearer ~~WAX_TOKEN~~" in " ".join(shown.texts("pre"))
    assert '{"name":"Zoé<U+202E><b>"}' in shown.texts("pre")[1]
    assert f"key {key} looks at what msg_1 sent, of sale, step hook" in caplog.text
    assert "Zoé" not in caplog.text
    inputs.clear()
    assert "Temporal has deleted the history" in (await site.get("/deliveries/msg_1")).text()
    await site.sign_in("read", "content", scenarios=["other"])
    await site.get("/deliveries/msg_1", 404)
