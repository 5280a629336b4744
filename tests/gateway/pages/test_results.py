"""The page of a scenario's results."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.service.results import ResultsView
from tests.gateway.cli.test_results import ARMS, FOUND
from tests.gateway.pages.conftest import Site
from tests.gateway.service.test_stats import publish


async def test_arms_are_compared_in_a_table_a_chart_and_words(site: Site, monkeypatch: pytest.MonkeyPatch):
    verdict = "better than control: 9.98 % against 6.00 %"
    told = ARMS[1].model_copy(update={"verdict": verdict})
    one = FOUND.comparisons[0].model_copy(update={"arms": [ARMS[0], told, *ARMS[2:]], "mismatch": 7e-79})

    async def results(*given: Any) -> ResultsView:
        assert given[1:3] == ("sale", 1)
        return FOUND.model_copy(update={"comparisons": [one]})

    await publish(site.store)
    await site.sign_in("read")
    without = await site.get("/scenarios/sale/results")
    assert "There is nothing to compare without a goal." in without.text()
    monkeypatch.setattr(site.client.services.journeys, "results", results)
    shown = await site.get("/scenarios/sale/results?version=1")
    row = ["b", "2,025", "202", "9.98 %", "8.74–11.36 %", "+66.3 %", "<0.001", verdict, "11,160.50", "5.51"]
    assert row in shown.rows("Split subject")
    assert shown.values("svg[role=img]", "aria-label")[1] == (
        "9.98 %, between 8.74 % and 11.36 %, on a scale to 20.00 %"
    )
    assert "did not come out as large as drawn" in shown.text(".note.warn")
    refused = await site.get("/scenarios/sale/results?since=soon", 422)
    assert "neither a time nor a duration" in refused.text("#since-wrong")
    assert (refused.values("#since", "value"), refused.texts("h2, table")) == (["soon"], [])
    await site.sign_in("read", scenarios=["b"])
    await site.get("/scenarios/sale/results", 403)
