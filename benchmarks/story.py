"""The metrics of a run of `benchmarks.chaos`, beside the facts known from elsewhere."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from benchmarks.dashboard import Prometheus
from benchmarks.stops import say
from tests.e2e.test_metrics import WORDS

if TYPE_CHECKING:
    from benchmarks.chaos import Place

STEP: Final = 5
"""Seconds between two samples."""
LAST: Final = "last_over_time({}[3h])"
"""Each process has its own series, which starts at 0: the sum of the last values is the count."""
UNSCRAPED: Final = 4.0
"""Seconds between two scrapes at most: one is tried every 2 s, and may fail where the worker is busy."""
UNDER_WAY: Final = 'sum(scenario_journeys{scenario="chaos"}) or 0 * max(scenario_poll_age_seconds)'
"""A scenario without journeys has no series where another worker was elected meanwhile."""
GAUGES: Final = {
    "journeys under way": UNDER_WAY,
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
    UNDER_WAY: 0,
    "max(scenario_problems)": 0,
    "sum(scenario_backlog)": 0,
    "max(scenario_held_oldest_age_seconds)": 0,
}


OURS: Final = {"__name__", "instance", "server_address"}
"""Labels that are addresses here."""
NO_ID: Final = re.compile(
    r"(?!.*([0-9a-f]{8}-|msg_|contact-|Planted))" + f"({WORDS.pattern}|/[a-z0-9_/{{}}-]*|127.0.0.1)"
)
"""What a label may say: a word, a number, a route; or the mail server."""


async def settled(prometheus: Prometheus, patience: float = 300.0) -> bool:
    """Waits until the figures that one worker tells for all are those of the end."""
    began = time.monotonic()
    while time.monotonic() - began < patience:
        now = {what: await prometheus.numbers(what) for what in SETTLED}
        if all(found and all(n == SETTLED[what] for n in found.values()) for what, found in now.items()):
            return True
        await asyncio.sleep(2)
    return False


async def tell(prometheus: Prometheus, place: Place) -> None:
    """Tells it, as tables, and what of it is not so."""
    place.expect(await settled(prometheus), "the figures do not return to their earlier values")
    await asyncio.sleep(2 * STEP)  # so that the last look is after that
    # Until then the last worker is scraped: its counters are whole.
    counted = await counters(prometheus, place)
    said = {
        (label, one[label]) for one in await prometheus.series('{job=~"scenario-.*"}') for label in one.keys() - OURS
    }
    ids = sorted(f"{label}={value}" for label, value in said if not NO_ID.fullmatch(value))
    place.expect(bool(said) and not ids, f"labels of metrics hold what is no word: {ids[:10]}")
    say(f"\n{len(said)} values of labels, {len(ids)} of them no words")
    say("\n| counted | by the metrics | by others |\n|---|---|---|")
    for what, (metric, other) in counted.items():
        say(f"| {what} | {metric} | {other} |")
    began, ended = place.began, time.time()
    say(f"\n| gauge | from, highest, to | course, every {STEP} s, what stays left out |\n|---|---|---|")
    for what, expression in GAUGES.items():
        for labels, values in (await prometheus.courses(expression, began, ended, STEP)).items():
            name = f"{what}, {labels}" if labels else what
            say(f"| {name} | {values[0]:g}, {max(values):g}, {values[-1]:g} | {course(values)} |")
            if what == "pollers" and labels in ("journeys", "webhooks"):
                fell = 0 in values[next((at for at, n in enumerate(values) if n), len(values)) :]
                place.expect(fell or place.away < 240, f"the pollers of {labels} never fell to 0")
                place.expect(values[-1] > 0, f"the pollers of {labels} did not come back")
    say("\n| alert | state | first after, s | for, s |\n|---|---|---|---|")
    for labels, values in (await alerts(prometheus, began, ended)).items():
        say(f"| {labels[0]} | {labels[1]} | {values[0]} | {values[1]} |")


async def counters(prometheus: Prometheus, place: Place) -> dict[str, tuple[str, str]]:
    """Counted by the metrics, and by others."""

    async def total(metric: str, by: str) -> dict[str, int]:
        found = await prometheus.numbers(f"sum by ({by}) ({LAST.format(metric)})")
        return {labels: round(number) for labels, number in sorted(found.items())}

    answers = place.receiver.answers
    webhooks = 'scenario_delivery_attempts_total{channel="webhook"}'
    attempts = await total(webhooks, "outcome")
    delivered, admitted = attempts.get("delivered", 0), await total("scenario_admission_total", "outcome")
    dropped = await prometheus.number(f"sum({LAST.format('scenario_log_dropped_total')})")
    pruned = await total("scenario_retention_deleted_total", "table")
    api = await total("http_server_request_duration_seconds_count", "http_response_status_code")
    slowest = await prometheus.numbers(
        f"histogram_quantile(0.99, sum by (le) ({LAST.format('scenario_delivery_duration_seconds_bucket')}))"
    )
    # What a worker counted since it was last scraped goes with it when it is killed.
    least = answers["200"] - place.lost_at_most(UNSCRAPED)
    place.expect(least <= delivered <= answers["200"], f"{delivered} counted of {least} to {answers['200']}")
    place.expect(not dropped, f"{dropped:.0f} rows of the log dropped")
    made = {table: n * 4 for table, n in {"deliveries": place.rows, "others, each": place.rows // 10}.items()}
    return {
        "attempts by outcome": (f"{attempts}", f"the receiver answered {dict(answers)}"),
        "of its 200s": (f"{delivered / max(1, answers['200']):.1%}", f"{least / max(1, answers['200']):.1%} at least"),
        "rows of the log dropped": (f"{dropped:.0f}", ""),
        "admission": (f"{admitted}", f"{place.number} journeys"),
        "pruned by the schedule": (f"{pruned}", f"{made} made up; {dict(place.by_command)} by the command"),
        "requests to the API by status": (f"{api}", f"{dict(place.answered)}"),
        "99 % of deliveries within, s": (f"{next(iter(slowest.values()), 0):.0f}", ""),
    }


async def alerts(prometheus: Prometheus, began: float, ended: float) -> dict[tuple[str, str], tuple[int, int]]:
    """Which alerts waited and fired: since when, seconds after the beginning, and for how many seconds."""
    found: dict[tuple[str, str], tuple[int, int]] = {}
    for state in ("pending", "firing"):
        of_state = f'ALERTS{{alertstate="{state}"'
        for name in await prometheus.numbers(f"group by (alertname) ({LAST.format(of_state + '}')})"):
            expression = f'count({of_state}, alertname="{name}"}}) or vector(0)'
            [values] = (await prometheus.courses(expression, began, ended, STEP)).values()
            held = [at for at, value in enumerate(values) if value]
            if held:
                found[name, state] = (held[0] * STEP, len(held) * STEP)
    return found


def course(values: Sequence[float], most: int = 14) -> str:
    """Numbers one after the other, those that stay the same once, and not too many of them."""
    changes = [f"{value:.0f}" for value, _ in groupby(values, key=round)]
    if len(changes) > most:
        step = len(changes) / most
        changes = [changes[int(at * step)] for at in range(most)] + changes[-1:]
    return " ".join(changes)
