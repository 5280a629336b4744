"""The chaos bench fails where the store differs from histories or receivers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reconcile import Ended, differences
from runtime.store import AdmissionRequest, Attempt, CapClaim, Passage, Store
from scenario.policies.caps import Cap
from scenario.steps.delivery import delivery_id

NOW = datetime(2026, 3, 3, 10, tzinfo=UTC)
ID = delivery_id("chaos/7", "r", "first", 0)
STEPS = [{"id": "first", "outcome": "delivered", "at": NOW.isoformat()}]
JOURNEY = Ended("7", "chaos/7", "r", {"outcome": "finished", "steps": STEPS}, NOW + timedelta(seconds=2))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    """A store with one journey that delivered once."""
    asking = AdmissionRequest("chaos", 1, "7", None, "chaos/7", "r", "never", NOW, "segment")
    claim = CapClaim(ID, "7", "webhook", "shop", "chaos", NOW)
    attempt = Attempt(ID, 1, "chaos/7", "r", "chaos", 1, "first", "webhook", "shop", "7", NOW, 5, "delivered")
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        await opened.admit(asking)
        await opened.claim(claim, [Cap.model_validate({"name": "week", "at_most": 9, "per": "7d"})], UTC)
        await opened.record([attempt])
        await opened.count_passages("chaos/7", "r", 0, [Passage(1, "first", "delivered", NOW)])
        await opened.depart("chaos/7", "r", "finished", None, NOW + timedelta(seconds=1))
        yield opened


async def test_what_agrees_is_no_difference(store: Store) -> None:
    assert await differences(store, "chaos", [JOURNEY], {ID}, capped=True) == []


@pytest.mark.parametrize(
    ("result", "taken", "told"),
    [
        ({"outcome": "exited"}, {ID}, ["chaos/7: its entry ended as finished, its history as exited"]),
        ({}, set[str](), ["no receiver took it", "no receiver took it"]),
        (
            {"steps": [{**STEPS[0], "outcome": "left"}]},
            set[str](),
            ["has a place under caps, and did not arrive", "1 passages first left missing", "too many", "no receiver"],
        ),
        (
            {"steps": [*STEPS, {**STEPS[0], "id": "last", "at": (NOW + timedelta(hours=1)).isoformat()}]},
            {ID, delivery_id("chaos/7", "r", "last", 0)},
            [
                "its entry ended at",
                "1 passages counted of 2",
                "arrived, and has no place",
                "passages last delivered missing",
            ],
        ),
    ],
)
async def test_every_difference_is_told(store: Store, result: dict[str, Any], taken: set[str], told: list[str]) -> None:
    journey = replace(JOURNEY, result={**JOURNEY.result, **result})
    found = await differences(store, "chaos", [journey], taken, capped=True)
    assert len(found) == len(told)
    assert all(part in sentence for part, sentence in zip(told, found, strict=True)), found
