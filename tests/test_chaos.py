"""The bench of chaos: its verdicts, and that it notices planted mistakes."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.judge import (
    ACCEPTED,
    REFUSED,
    UNANSWERED,
    Answer,
    Arrival,
    Fault,
    find_doubled,
    find_early,
    find_ignored_exits,
    find_other_bytes,
    find_repeated,
    find_unlogged,
    find_unsettled,
)
from benchmarks.chaos.plants import PLANTS
from runtime.store import Attempt
from tests.factories import attempt

ROOT = Path(__file__).parents[1]
START = datetime(2026, 3, 3, 10, tzinfo=UTC).timestamp()
KILL = [Fault("worker killed", START + 30, START + 30)]


def arrival(seconds: float, answer: Answer = ACCEPTED, body: bytes = b"x") -> Arrival:
    return Arrival(START + seconds, body, answer)


def row(seconds: float, outcome: str = "delivered", number: int = 1) -> Attempt:
    return attempt("a", attempt=number, outcome=outcome, started_at=datetime.fromtimestamp(START + seconds, UTC))


@pytest.mark.parametrize(
    ("requests", "rows", "noticed"),
    [
        ([arrival(1)], [row(1)], False),
        ([arrival(1, REFUSED), arrival(2)], [row(1, "retry"), row(2, number=2)], False),
        ([arrival(1), arrival(2)], [row(1)], True),
        ([arrival(1), arrival(2)], [row(1, "retry"), row(2, number=2)], False),
        ([arrival(28), arrival(40)], [row(40)], False),
        ([arrival(20), arrival(40)], [row(20), row(40)], True),
    ],
    ids=["once", "refused first", "again at once", "unanswered in time", "before a kill", "long before a kill"],
)
def test_a_repeated_request_needs_a_cause(requests: list[Arrival], rows: list[Attempt], noticed: bool) -> None:
    assert bool(find_repeated({"a": requests}, {"a": rows}, KILL)) is noticed


@pytest.mark.parametrize(
    ("requests", "rows", "noticed"),
    [
        ([arrival(1)], [row(1)], 0),
        ([arrival(1)], [], 1),
        ([arrival(29)], [], 0),
        ([arrival(20)], [], 1),
        ([arrival(1, REFUSED), arrival(9)], [row(1, "retry"), row(9, number=3)], 1),
        ([arrival(27, REFUSED), arrival(40)], [row(27, "retry"), row(40, number=3)], 0),
        ([arrival(9)], [row(9, number=2)], 1),
    ],
    ids=["logged", "no row", "killed", "long before a kill", "a gap", "a gap of a kill", "no first attempt"],
)
def test_accepted_messages_and_all_attempts_are_in_the_log(
    requests: list[Arrival], rows: list[Attempt], noticed: int
) -> None:
    assert len(find_unlogged({"a": requests}, {"a": rows}, KILL)) == noticed


@pytest.mark.parametrize(("first", "noticed"), [(REFUSED, False), (UNANSWERED, True), (ACCEPTED, True)])
def test_a_message_that_may_have_arrived_is_not_sent_again(first: Answer, noticed: bool) -> None:
    assert bool(find_doubled({"a": [arrival(1, first), arrival(2)]})) is noticed


def test_a_message_in_quiet_hours_is_noticed() -> None:
    assert find_early([arrival(99), arrival(100)], START + 100) == [
        "a message arrived 1 s before the end of quiet hours"
    ]


@pytest.mark.parametrize(
    ("result", "at", "noticed"),
    [
        ({"outcome": "exited", "reason": "event gone"}, 12, 0),
        ({"outcome": "exited", "reason": "event gone"}, 16, 1),
        ({"outcome": "finished", "reason": None}, 12, 1),
    ],
    ids=["exited", "a late message", "finished"],
)
def test_an_exit_that_is_ignored_is_noticed(result: dict[str, Any], at: float, noticed: int) -> None:
    assert len(find_ignored_exits({"c": START + 10}, {"c": result}, {"c": [arrival(at)]})) == noticed


def test_the_log_and_the_journey_agree_on_deliveries() -> None:
    steps = {"a": "skipped", "b": "skipped", "c": "delivered"}
    log = {"a": [row(1)], "b": [row(1, "unknown")], "c": [row(1)]}
    assert find_unsettled(steps, log) == ["a is delivered in the log, and skipped in its journey"]


def test_other_bytes_are_noticed() -> None:
    assert find_other_bytes({"a": [arrival(1), arrival(2, body=b"y")], "b": [arrival(1), arrival(2)]}) == [
        "a arrived with different bytes"
    ]


@pytest.mark.nightly
@pytest.mark.parametrize("plant", PLANTS)
async def test_a_planted_mistake_is_noticed(plant: str) -> None:
    words = ("--journeys", "60", "--away", "5", "--gone", "5", "--rows", "100", "--lines", "40", "--plant", plant)
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.chaos", *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await started.communicate()
    wrong = [line for line in out.decode().splitlines() if line.startswith("WRONG")]
    assert any(PLANTS[plant].verdict in line for line in wrong), out.decode()
    assert started.returncode == 1
