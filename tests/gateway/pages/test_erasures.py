"""The pages that erase a contact."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.client import WorkflowExecution

from runtime.api_keys import Scope
from runtime.encryption.keyring import Keyring
from tests.gateway.pages.conftest import Site
from tests.gateway.pages.test_journeys import admit
from tests.gateway.search import Search

WHO = "7/\u202eé"
FORM = {"contact": WHO, "again": "7/<U+202E>é", "reason": "request 4711"}


async def _no_runs(*_: Any) -> AsyncIterator[WorkflowExecution]:
    for run in ():
        yield run


async def test_a_contact_is_erased_once_its_id_is_typed_again(
    site: Site, temporal: Search, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gateway.service.erasures.find_runs", _no_runs)
    site.store.sealing = Keyring(site.store, None)
    await admit(site.store, "a/7", WHO)
    await site.sign_in("read", "erase")
    asked = "/erase?contact=7%2F%E2%80%AE%C3%A9"
    form = await site.get(asked)
    assert ["Rows of the store: entries", "1"] in form.rows("Would be erased")
    refused = await site.send("/erase", {**FORM, "again": "7/e"}, 422, page=asked)
    assert refused.text("[role=alert]") == "Type the contact's id exactly as it is shown above."
    assert refused.values("#reason", "value") == ["request 4711"]
    assert temporal.started == {}
    report = await site.send("/erase", FORM, page=asked)
    (name,) = temporal.started
    assert report.text("h1") == f"Erasure {name.removeprefix('erasure-')}"
    assert "request 4711" in report.text(".facts")
    assert "é" not in report.html
    assert [row[4] for row in (await site.get("/erasures")).rows("Erasures, newest first")] == ["request 4711"]


async def test_only_keys_for_all_scenarios_with_the_scope_erase(site: Site):
    limited: list[tuple[Scope, list[str] | None]] = [("operate", None), ("erase", ["a"])]
    for scope, scenarios in limited:
        await site.sign_in("read", scope, scenarios=scenarios)
        for path in ("/erase?contact=7", "/erasures", "/erasures/x"):
            await site.get(path, 403)
        page = await site.get("/deliveries")
        answer = await site.browser.post(
            "/erase", data={**FORM, "token": page.token}, headers={"origin": str(site.browser.base_url)}
        )
        assert answer.status_code == 403
