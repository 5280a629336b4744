"""The metrics of the run, compared with other records of it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from itertools import groupby
from typing import Final

from benchmarks.chaos.record import ChaosRun
from benchmarks.dashboard import Prometheus
from benchmarks.stops import say
from tests.e2e.test_metrics import WORDS

STEP: Final = 5
"""Seconds between two samples."""
LAST_VALUE: Final = "last_over_time({}[3h])"
"""The last values of series. A counter's total is their sum, because each process has its own series from 0."""
SCRAPE_GAP: Final = 4.0
"""Maximum seconds between two scrapes: the interval is 2 s, and a scrape may fail if the worker is busy."""
RUNNING: Final = 'sum(scenario_journeys{scenario="chaos"}) or 0 * max(scenario_poll_age_seconds)'
"""Number of running journeys. Without journeys, a scenario has no series after another worker was elected."""
GAUGES: Final = {
    "running journeys": RUNNING,
    "held journeys": "sum(scenario_held) or vector(0)",
    "age of the oldest held, s": "max(scenario_held_oldest_age_seconds)",
    "backlog of tasks": "max by (queue) (scenario_backlog)",
    "age of the backlog, s": "max by (queue) (scenario_backlog_age_seconds)",
    "pollers": "max by (queue) (scenario_pollers)",
    "journeys with problems": "max(scenario_problems)",
    "age of these figures, s": "max(scenario_poll_age_seconds)",
    "breaker (0 closed, 2 open)": "max(scenario_breaker_state)",
    "workers scraped": 'sum(up{job="scenario-worker"})',
}
SETTLED: Final = {
    RUNNING: 0,
    "max(scenario_problems)": 0,
    "sum(scenario_backlog)": 0,
    "max(scenario_held_oldest_age_seconds)": 0,
}


ADDRESS_LABELS: Final = {"__name__", "instance", "server_address"}
"""Labels with addresses, and the metric's name."""
PERMITTED_VALUE: Final = re.compile(
    r"(?!.*([0-9a-f]{8}-|msg_|contact-|offer-0|Planted))" + f"({WORDS.pattern}|/[a-z0-9_/{{}}-]*|127.0.0.1)"
)
"""The permitted values of other labels: a word, a number, a route or the mail server."""


async def wait_until_settled(prometheus: Prometheus, patience: float = 300.0) -> bool:
    """Wait until the figures that one worker reports for all have their final values. Return False if they do not."""
    began = time.monotonic()
    while time.monotonic() - began < patience:
        now = {what: await prometheus.numbers(what) for what in SETTLED}
        if all(found and all(n == SETTLED[what] for n in found.values()) for what, found in now.items()):
            return True
        await asyncio.sleep(2)
    return False


async def print_metrics(prometheus: Prometheus, run: ChaosRun) -> None:
    """Print the metrics as tables, and record failed expectations."""
    run.expect(await wait_until_settled(prometheus), "the figures do not return to their earlier values")
    await asyncio.sleep(2 * STEP)  # so that the last sample is later
    # The last worker is still scraped, so its counters are complete.
    counted = await compare_counters(prometheus, run)
    labelled = {
        (label, one[label])
        for one in await prometheus.series('{job=~"scenario-.*"}')
        for label in one.keys() - ADDRESS_LABELS
    }
    ids = sorted(f"{label}={value}" for label, value in labelled if not PERMITTED_VALUE.fullmatch(value))
    run.expect(bool(labelled) and not ids, f"labels of metrics contain ids: {ids[:10]}")
    say(f"\n{len(labelled)} values of labels, {len(ids)} of them ids")
    say("\n| counted | by the metrics | by others |\n|---|---|---|")
    for what, (metric, other) in counted.items():
        say(f"| {what} | {metric} | {other} |")
    began, ended = run.began, time.time()
    say(f"\n| gauge | first, highest, last | values every {STEP} s, without repetitions |\n|---|---|---|")
    for what, expression in GAUGES.items():
        for labels, values in (await prometheus.ranges(expression, began, ended, STEP)).items():
            name = f"{what}, {labels}" if labels else what
            say(f"| {name} | {values[0]:g}, {max(values):g}, {values[-1]:g} | {format_values(values)} |")
            if what == "pollers" and labels in ("journeys", "webhooks"):
                fell = 0 in values[next((at for at, n in enumerate(values) if n), len(values)) :]
                run.expect(fell or run.worker_outage < 240, f"the pollers of {labels} never fell to 0")
                run.expect(values[-1] > 0, f"the pollers of {labels} did not come back")
    say("\n| alert | state | first after, s | for, s |\n|---|---|---|---|")
    for labels, values in (await alerts(prometheus, began, ended)).items():
        say(f"| {labels[0]} | {labels[1]} | {values[0]} | {values[1]} |")


async def compare_counters(prometheus: Prometheus, run: ChaosRun) -> dict[str, tuple[str, str]]:
    """Return the counts of the metrics and of other records, by name."""

    async def total(metric: str, by: str) -> dict[str, int]:
        found = await prometheus.numbers(f"sum by ({by}) ({LAST_VALUE.format(metric)})")
        return {labels: round(number) for labels, number in sorted(found.items())}

    answers = run.receiver.answers
    webhooks = 'scenario_delivery_attempts_total{channel="webhook"}'
    attempts = await total(webhooks, "outcome")
    delivered, admitted = attempts.get("delivered", 0), await total("scenario_admission_total", "outcome")
    dropped = await prometheus.number(f"sum({LAST_VALUE.format('scenario_log_dropped_total')})")
    pruned = await total("scenario_retention_deleted_total", "table")
    api = await total("http_server_request_duration_seconds_count", "http_response_status_code")
    slowest = await prometheus.numbers(
        f"histogram_quantile(0.99, sum by (le) ({LAST_VALUE.format('scenario_delivery_duration_seconds_bucket')}))"
    )
    # A killed worker loses its counts since the last scrape.
    least = answers["200"] - run.max_uncounted(SCRAPE_GAP)
    run.expect(least <= delivered <= answers["200"], f"{delivered} counted of {least} to {answers['200']}")
    run.expect(not dropped, f"{dropped:.0f} rows of the log dropped")
    made = {table: n * 4 for table, n in {"deliveries": run.rows, "others, each": run.rows // 10}.items()}
    return {
        "attempts by outcome": (f"{attempts}", f"the receiver responded {dict(answers)}"),
        "of its responses 200": (
            f"{delivered / max(1, answers['200']):.1%}",
            f"{least / max(1, answers['200']):.1%} at least",
        ),
        "rows of the log dropped": (f"{dropped:.0f}", ""),
        "admission": (f"{admitted}", f"{run.number} journeys"),
        "pruned by the schedule": (f"{pruned}", f"{made} inserted; {dict(run.by_command)} by the command"),
        "requests to the API by status": (f"{api}", f"{dict(run.answered)}"),
        "99 % of deliveries within, s": (f"{next(iter(slowest.values()), 0):.0f}", ""),
    }


async def alerts(prometheus: Prometheus, began: float, ended: float) -> dict[tuple[str, str], tuple[int, int]]:
    """Return the seconds from the start to each pending or firing alert, and its duration in seconds."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for state in ("pending", "firing"):
        of_state = f'ALERTS{{alertstate="{state}"'
        for name in await prometheus.numbers(f"group by (alertname) ({LAST_VALUE.format(of_state + '}')})"):
            expression = f'count({of_state}, alertname="{name}"}}) or vector(0)'
            [values] = (await prometheus.ranges(expression, began, ended, STEP)).values()
            held = [at for at, value in enumerate(values) if value]
            if held:
                found[name, state] = (held[0] * STEP, len(held) * STEP)
    return found


def format_values(values: Sequence[float], most: int = 14) -> str:
    """Join rounded numbers without repetitions. If there are more than `most` changes, show a sample."""
    changes = [f"{value:.0f}" for value, _ in groupby(values, key=round)]
    if len(changes) > most:
        step = len(changes) / most
        changes = [changes[int(at * step)] for at in range(most)] + changes[-1:]
    return " ".join(changes)
