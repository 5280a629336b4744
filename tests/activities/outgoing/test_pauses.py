"""A destination's pause and recovery, from the breaker of a worker to the log of events."""

from __future__ import annotations

import asyncio

from activities.outgoing.reports import DestinationPauses
from activities.webhook.circuit_breaker import BreakerLimits, HealthSignal
from activities.webhook.limiter import Limiter, Limits, Permit
from runtime.store import Store
from tests.fakes import Clock

QUICK = Limits(concurrency=9, breaker=BreakerLimits(minimum=2, window=60, pause=10))


async def test_a_breaker_that_opens_and_closes_is_reported_once(store: Store) -> None:
    clock, pauses = Clock(), DestinationPauses(store)
    workers = [Limiter(clock=clock, changed=pauses) for _ in range(2)]

    def end(worker: Limiter, health: HealthSignal) -> None:
        permit = worker.enter("wax", QUICK)
        assert isinstance(permit, Permit)
        permit.leave(health)

    async def told(number: int) -> list[str]:
        async with asyncio.timeout(60):
            while len(found := (await store.outgoing_events(0))[0]) < number:
                await asyncio.sleep(0.01)
        return [f"{one.type} {one.subject}" for one in found]

    await store.want_events(["destination.paused", "destination.recovered"])
    for worker in workers:
        for _ in range(2):
            end(worker, HealthSignal.FAILING)
    assert await told(1) == ["destination.paused wax"]
    clock.now += 60
    for worker in workers:
        end(worker, HealthSignal.ALIVE)
    assert await told(2) == ["destination.paused wax", "destination.recovered wax"]
    await pauses.close()
