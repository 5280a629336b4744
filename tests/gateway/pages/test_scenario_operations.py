"""A scenario is closed and opened, and all of its journeys are operated, on its pages."""

from __future__ import annotations

import pytest

from tests.factories import admission_request
from tests.gateway.pages.conftest import Site
from tests.gateway.search import Search
from tests.gateway.service.test_stats import SALE, publish


@pytest.fixture(autouse=True)
async def sale(site: Site, temporal: Search) -> None:
    """Three journeys of a version, one of them paused, and one of the next version."""
    for version, states in enumerate((("waiting", "held", "paused"), ("waiting",)), 1):
        await publish(site.store, SALE.replace("subject: Hi", f"subject: Hi {version}"))
        for state in states:
            name = f"sale/{version}-{state}"
            await site.store.admit(admission_request(name, "sale", workflow_id=name, version=version))
            known = {"ScenarioName": "sale", "ScenarioVersion": f"sale@{version}", "JourneyState": state}
            temporal.add(name, StepId="wait-2", **known)


async def test_a_scenario_is_closed_for_a_reason_and_opened_again(site: Site):
    name = await site.sign_in()
    refused = await site.send("/scenarios/sale/close", {"reason": " "}, status=422)
    assert len(refused.texts("[role=alert]")) == 1
    shown = await site.send("/scenarios/sale/close", {"reason": "sold <out>"})
    assert f"by key {name}: sold <out>" in shown.text("p.warn")
    assert "/scenarios/sale/open" in shown.values(".actions a", "href")
    assert "sale is closed already." in (await site.get("/scenarios/sale/close")).text()
    await site.send("/scenarios/sale/open", {})
    assert await site.store.closure("sale") is None
    assert (await site.get("/scenarios/sale?done=open")).texts("[role=status]")
    assert not (await site.get("/scenarios/sale?done=close")).texts("[role=status]"), "somebody has opened it since"


@pytest.mark.parametrize(
    ("change", "counted", "of_versions", "stored"),
    [
        ("pause", "3 journeys", ["all", "2 (1)", "1 (2)"], {"everybody": False}),
        ("resume", "1 journey", ["all", "2 (0)", "1 (1)"], {"everybody": False}),
        ("leave", "4 journeys", ["all", "2 (1)", "1 (3)"], {"everybody": True}),
    ],
)
async def test_all_journeys_or_those_of_a_version_are_operated(
    site: Site, change: str, counted: str, of_versions: list[str], stored: dict[str, bool]
):
    address = f"/scenarios/sale/{change}"
    name = await site.sign_in()
    look = await site.get(address)
    assert look.text(".facts dd") == counted
    assert look.texts("#version option") == of_versions
    form = {"reason": "stock is out", "rate": "50", "sure": "yes"}
    for version, which in (("", {"scenario": "sale"}), ("1", {"scenario": "sale", "version": 1})):
        await site.send(address, {**form, "version": version})
        begun = (await site.store.stored_operations())[0]
        assert (begun.verb, begun.operator, begun.reason) == (change, f"key {name}", "stock is out")
        assert (begun.request["which"], begun.request["rate"]) == (which, 50.0)
        assert begun.request["everybody"] is stored["everybody"]
    if change == "leave":
        await site.send(address, {**form, "sure": ""}, status=422)
        assert len(await site.store.stored_operations()) == 2
