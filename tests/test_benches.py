"""Benches that are run by hand measure what they say; that of chaos fails where the store differs from histories."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from benchmarks import capacity
from benchmarks.deliveries import CLIENTS, attempt_environment, open_clients, run_receiver
from benchmarks.mutate import mutants
from benchmarks.reconcile import EndedJourney, find_differences
from benchmarks.shares import HOSTILE
from runtime.api_keys import SCOPES
from runtime.store import CapClaim, Passage, Store
from scenario.policies.caps import Cap
from scenario.steps.delivery import delivery_id
from tests.factories import admission_request, attempt


async def test_every_client_of_the_bench_of_deliveries_delivers() -> None:
    with run_receiver(0, max(os.sched_getaffinity(0))) as receiver:
        async with open_clients(receiver.port) as ways:
            for name in CLIENTS:
                await attempt_environment().run(ways[name])
        requests, _ = receiver.stop()
    assert requests == len(CLIENTS)


def test_mutants_differ_and_compile() -> None:
    found = mutants(Path(__file__).parents[1] / "scenario/policies/hours.py")
    assert len({mutant.id for mutant in found}) == len(found) > 50
    for mutant in found:
        compile(mutant.text(), mutant.file, "exec")


def test_the_page_on_capacity_has_the_tables_of_the_stored_run() -> None:
    page = capacity.PAGE.read_text()
    assert capacity.write_page(page, json.loads(capacity.RUN.read_text())) == page


def test_the_bench_of_shares_has_a_hostile_key_of_each_scope() -> None:
    assert HOSTILE.keys() == set(SCOPES)


NOW = datetime(2026, 3, 3, 10, tzinfo=UTC)
ID = delivery_id("chaos/7", "r", "first", 0)
STEPS = [{"id": "first", "outcome": "delivered", "at": NOW.isoformat()}]
JOURNEY = EndedJourney("7", "chaos/7", "r", {"outcome": "finished", "steps": STEPS}, NOW + timedelta(seconds=2))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[Store]:
    """A store with one journey that delivered once."""
    asking = admission_request("7", "chaos", run_id="r", again="never", now=NOW)
    claim = CapClaim(ID, "7", "webhook", "shop", "chaos", NOW)
    made = attempt(ID, workflow_id="chaos/7", run_id="r", scenario="chaos", step="first", destination="shop")
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        await opened.admit(asking)
        await opened.claim(claim, [Cap.model_validate({"name": "week", "at_most": 9, "per": "7d"})], UTC)
        await opened.record([made])
        await opened.count_passages("chaos/7", "r", 0, [Passage(1, "first", "delivered", NOW)])
        await opened.depart("chaos/7", "r", "finished", None, NOW + timedelta(seconds=1))
        yield opened


@pytest.mark.parametrize(
    ("result", "taken", "told"),
    [
        ({}, {ID}, []),
        ({"outcome": "exited"}, {ID}, ["chaos/7: its entry ended as finished, its history as exited"]),
        ({}, set[str](), ["no receiver accepted it", "no receiver accepted it"]),
        (
            {"steps": [{**STEPS[0], "outcome": "left"}]},
            set[str](),
            [
                "claims a place under a cap, but did not arrive",
                "1 passages first left missing",
                "too many",
                "no receiver",
            ],
        ),
        (
            {"steps": [*STEPS, {**STEPS[0], "id": "last", "at": (NOW + timedelta(hours=1)).isoformat()}]},
            {ID, delivery_id("chaos/7", "r", "last", 0)},
            [
                "its entry ended at",
                "1 passages counted of 2",
                "arrived, but claims no place",
                "passages last delivered missing",
            ],
        ),
    ],
)
async def test_every_difference_is_told(store: Store, result: dict[str, Any], taken: set[str], told: list[str]) -> None:
    journey = replace(JOURNEY, result={**JOURNEY.result, **result})
    found = await find_differences(store, "chaos", [journey], taken, capped=True)
    assert len(found) == len(told)
    assert all(part in sentence for part, sentence in zip(told, found, strict=True)), found
