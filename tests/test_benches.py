"""Benches that are run by hand still measure what they say."""

from __future__ import annotations

import json
import os
from pathlib import Path

from benchmarks import capacity
from benchmarks.deliveries import CLIENTS, attempting, clients, receiving
from benchmarks.mutate import mutants


async def test_every_client_of_the_bench_of_deliveries_delivers() -> None:
    with receiving(0, max(os.sched_getaffinity(0))) as receiver:
        async with clients(receiver.port) as ways:
            for name in CLIENTS:
                await attempting().run(ways[name])
        requests, _ = receiver.counts()
    assert requests == len(CLIENTS)


def test_mutants_differ_and_compile() -> None:
    found = mutants(Path(__file__).parents[1] / "scenario/policies/hours.py")
    assert len({mutant.id for mutant in found}) == len(found) > 50
    for mutant in found:
        compile(mutant.text(), mutant.file, "exec")


def test_the_page_on_capacity_has_the_tables_of_the_stored_run() -> None:
    page = capacity.PAGE.read_text()
    assert capacity.write_page(page, json.loads(capacity.RUN.read_text())) == page
