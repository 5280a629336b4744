"""What operators do during the run: a campaign, a migration, and at the end retries of held steps."""

from __future__ import annotations

import asyncio
from typing import Final

from benchmarks.chaos.record import ChaosRun
from benchmarks.chaos.scenarios import SECOND_VERSION, write_audience
from tests.e2e.conftest import publish

CAMPAIGN_START: Final = 0.12
MIGRATION: Final = 0.22
CAMPAIGN: Final = "chaos-offer"
_RATE: Final = "10/s"
"""Rate of the campaign: slow enough that workers are killed during it."""
_REASON: Final = ("--reason", "incident 42", "--operator", "bench")


async def run_campaign(run: ChaosRun) -> None:
    """Start a campaign."""
    await run.wait_for_share(CAMPAIGN_START)
    path = run.folder / "people.jsonl"
    write_audience(path, run.lines)
    words = ("campaign", "start", "offer", "--audience", str(path), "--name", CAMPAIGN, "--rate", _RATE, "--yes")
    await run.command_until_done(*words)
    run.note(f"a campaign of {run.lines} lines is started")


async def migrate(run: ChaosRun) -> None:
    """Publish the second version, and move all journeys to it."""
    await run.wait_for_share(MIGRATION)
    await run.retry(lambda: publish(run.client, run.folder, SECOND_VERSION))
    await run.command_until_done("migrate", "chaos", "--yes", *_REASON, done="nothing to migrate")
    run.note("journeys are moved to the second version")


async def settle_held(run: ChaosRun) -> None:
    """Retry held journeys once no others run, as operators do. Skip the steps that stay held, as unknown."""
    while len(run.journeys) < run.number:
        await asyncio.sleep(1)
    await _wait_until_only_held(run)
    retried = await _count_held(run)
    if retried:
        # Without `--unknown`, nothing is left to retry when all may have been delivered.
        await run.command_until_done("retry", "--scenario", "chaos", "--yes", *_REASON, done="nothing to retry")
        run.note(f"held steps are retried, but those held as unknown: {retried} are held")
    await _wait_until_only_held(run)
    while left := await _count_held(run):
        await run.command_until_done("skip", "--scenario", "chaos", "--yes", *_REASON, done="nothing to skip")
        run.note(f"{left} steps are skipped that were held as unknown")
        await _wait_until_only_held(run)


async def _wait_until_only_held(run: ChaosRun) -> None:
    """Wait until all running journeys are held, twice in a row, since search lags."""
    times = 0
    while times < 2:
        await asyncio.sleep(2)
        running = await run.count_running("WorkflowType = 'Journey'")
        times = times + 1 if running == await _count_held(run) else 0


async def _count_held(run: ChaosRun) -> int:
    return await run.count_running("WorkflowType = 'Journey' AND JourneyState = 'held'")
