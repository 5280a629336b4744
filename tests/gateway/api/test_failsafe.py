"""What nobody expected is a problem for who asked, and one line without data for who runs it."""

from __future__ import annotations

import logging

import pytest

from tests.gateway.api.conftest import Api

ENTRY = {"scenario": "welcome", "contact": {"id": 7}, "trigger": {"type": "segment"}}


async def test_it_is_answered_and_logged_without_data(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api.client.refusals["7"] = RuntimeError("zoe@example.com")
    answer = await api.post("/entries", ENTRY)
    assert (answer.status_code, answer.json()["code"]) == (500, "failed")
    assert answer.headers["content-type"] == "application/problem+json"
    [record] = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert record.getMessage().startswith("RuntimeError at ")
    assert record.getMessage().endswith(" while answering POST /entries")
    assert record.exc_info is None
    assert "zoe" not in answer.text + caplog.text


async def test_a_contacts_id_in_a_path_is_not_logged(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise KeyError("zoe")

    monkeypatch.setattr(api.client.services.events, "change", fail)
    assert (await api.call("PATCH", "/contacts/zoe", json={})).status_code == 500
    assert caplog.messages[-1].endswith(" while answering PATCH /contacts/{contact:path}")
    assert "zoe" not in caplog.text
