"""Benches that are run by hand still measure what they say."""

from __future__ import annotations

import os

from benchmarks.deliveries import CLIENTS, attempting, clients, receiving


async def test_every_client_of_the_bench_of_deliveries_delivers() -> None:
    with receiving(0, max(os.sched_getaffinity(0))) as receiver:
        async with clients(receiver.port) as ways:
            for name in CLIENTS:
                await attempting().run(ways[name])
        requests, _ = receiver.counts()
    assert requests == len(CLIENTS)
