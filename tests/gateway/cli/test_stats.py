"""`scenario stats`, as a marketer reads it and as a program does."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from gateway.service.stats import (
    DayView,
    PopulationView,
    StatsView,
    StepStats,
    StepTrend,
    TrendsView,
    VersionStats,
    VersionTrends,
)
from tests.gateway.cli.conftest import Client, Run

AS_OF = datetime(2026, 3, 31, 8, 0, 5, tzinfo=UTC)
STEPS = (
    StepStats(
        id="mail",
        kind="email",
        what="email",
        now=PopulationView(),
        passed={"delivered": 1890, "skipped": 12},
        passed_lately={"delivered": 60},
        attempts={"delivered": 310, "skipped": 4},
        skipped={"capped": 4},
    ),
    StepStats(
        id="wait-2",
        kind="wait",
        what="wait 2d",
        now=PopulationView(waiting=2104),
        passed={"waited": 1700},
        passed_lately={"waited": 55},
    ),
    StepStats(
        id="hook",
        kind="webhook",
        what="webhook → hooks.example.com",
        now=PopulationView(retrying=9, held=7),
        attempts={"retry": 40},
    ),
)
VERSION = VersionStats(
    version=3,
    is_newest=True,
    entered=4120,
    under_way=2120,
    over={"exited": 120, "finished": 1890},
    now=PopulationView(waiting=2104, retrying=9, held=7, paused=0),
    steps=[*STEPS],
)
FOUND = StatsView(scenario="sale", as_of=AS_OF, since=datetime(2026, 3, 30, 8, tzinfo=UTC), versions=[VERSION])
SHOWN = """\
sale@3, at 2026-03-31 10:00:05; last day: since 2026-03-30 10:00:00
4,120 entered; 2,120 in progress (2,104 waiting, 9 retrying, 7 held); ended: 120
  exited, 1,890 finished

step     waiting   held   passed   last day   in detail
────────────────────────────────────────────────────────────────────────────────
mail                       1,902         60   1,890 delivered, 12 skipped;
                                              attempts: 310 delivered, 4 skipped
                                              (4 capped)
wait-2     2,104           1,700         55   1,700 waited
hook                  7                       9 retrying; attempts: 40 retry

waiting, retrying, held: from Temporal's search, which lags. During its first
"""


@pytest.mark.usefixtures("paris")
def test_each_step_is_a_row(run: Run, client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    client.numbers = FOUND
    ran = run("stats", "sale")
    assert (ran.status, ran.err) == (0, "")
    lines = (line.rstrip() for line in ran.out.splitlines())
    assert "\n".join(lines).startswith(SHOWN)
    assert client.asked == [("stats", "sale", None)]


def test_where_search_is_away_it_says_so(run: Run, client: Client):
    steps = [step.model_copy(update={"now": None}) for step in STEPS]
    away = VERSION.model_copy(update={"now": None, "is_newest": False, "steps": steps})
    client.numbers = FOUND.model_copy(
        update={"versions": [away], "trouble": "the Temporal server has no search: nobody knows"}
    )
    ran = run("stats", "sale", "--version", 3)
    assert "sale@3, an older version, at" in ran.out
    assert "2,120 in progress; ended: 120 exited" in ran.out
    assert "\nmail           ?      ?    1,902         60   1,890 delivered" in ran.out
    assert "\nwarning: the Temporal server has no search: nobody knows\n" in ran.out
    assert client.asked == [("stats", "sale", 3)]


@pytest.mark.usefixtures("paris")
def test_each_day_has_people_and_attempts_apart(run: Run, client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "80")
    first, second = date(2026, 3, 30), date(2026, 3, 31)
    sent = [DayView(day=first, outcomes={"delivered": 1900, "retry": 7}), DayView(day=second, outcomes={"failed": 1})]
    people = [DayView(day=first, outcomes={"delivered": 1890, "skipped": 12, "unknown": 1, "left": 9})]
    steps = [
        StepTrend(id="mail", kind="email", what="email", people=people, attempts=sent),
        StepTrend(id="if-2", kind="if", what="if", people=[DayView(day=first, outcomes={"then": 1, "else": 2})]),
    ]
    client.numbers = TrendsView(
        scenario="sale",
        as_of=AS_OF,
        since=first,
        until=second,
        attempts_since=second,
        versions=[VersionTrends(version=3, is_newest=True, steps=steps)],
    )
    ran = run("stats", "sale", "--by", "day", "--days", 2)
    lines = [line.rstrip() for line in ran.out.splitlines()]
    assert "\n".join(lines).startswith("""\
sale@3, 2026-03-30 to 2026-03-31 in UTC
day          step   passed   failed   skipped   attempts to send
──────────────────────────────────────────────────────────────────────────
2026-03-30   mail    1,890        1        12   1,900 delivered, 7 retried
2026-03-30   if-2        3
2026-03-31   mail                               1 failed

warning: attempts are counted from 2026-03-31 only
""")
    assert client.asked == [("trends", "sale", None, 2)]
