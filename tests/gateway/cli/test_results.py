"""`scenario results`, as a marketer reads it; the numbers are tested at the service."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from gateway.service.results import Arm, Comparison, ResultsView
from scenario.model.scenario import Goal
from tests.gateway.cli.conftest import Run, Stored

GOAL = Goal.model_validate(
    {"event": "order.placed", "if": "event.total > 0", "within": "14d", "value": "{{ event.total }}"}
)
ARMS = [
    Arm(name="a", entered=2250, reached=180, open=180, value=Decimal(8910), uplift=1 / 3, p=0.1277),
    Arm(name="b", entered=2025, reached=202, value=Decimal("11160.5"), uplift=0.663, p=0.0004),
    Arm(name="none", entered=0, is_too_small=True),
    Arm(name="control", entered=500, reached=30, value=Decimal(1350)),
]
FOUND = ResultsView(
    scenario="sale",
    versions=[1],
    goal=GOAL,
    is_same_goal=True,
    goalless=0,
    entered=5003,
    contacts=5003,
    reached=416,
    open=180,
    control_mismatch=None,
    comparisons=[Comparison(split="subject", arms=ARMS, baseline="control", undrawn=3)],
)
SHOWN = """\
sale@1: order.placed within 14d, if event.total > 0
5,003 entered, and 416 of them reached the goal; 180 more still have time

split subject, as drawn at the entry; compared with control
          entered   reached     rate           95 %    uplift                 p
───────────────────────────────────────────────────────────────────────────────
a           2,250       180   8.00 %    6.95–9.19 %   +33.3 %             0.128
b           2,025       202   9.98 %   8.74–11.36 %   +66.3 %            <0.001
none            0         0                                     too few to tell
control       500        30   6.00 %    4.23–8.44 %

              value   for each who entered
──────────────────────────────────────────
a          8,910.00                   3.96
b         11,160.50                   5.51
none           0.00
control    1,350.00                   2.70

95 %: where the true rate is in 95 of 100 cases. p: how often chance alone would
  make such a difference; below 0.05 it is seldom.
3 are in no branch of split subject: which one they would take was not known
  when they entered
"""
WARNED = """\
warning: the branches of split subject did not come out as large as drawn (p =
  7e-79): contacts are missing on one side, or counted twice. Find out why
  before you believe the rates
warning: the control group did not come out as large as drawn (p = 4e-08):
  contacts are missing on one side, or counted twice. Find out why before you
  believe the rates
7 more entered by versions without a goal, and are not counted
the goal is not the same in all of these versions: look at each version alone
1,984 contacts entered 3,109 times: entries of one contact are alike, so
  intervals are wider, and p is larger, than is said here
"""
Shown = Callable[..., list[str]]


@pytest.fixture
def shown(run: Run, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> Shown:
    monkeypatch.setenv("COLUMNS", "80")
    stored(lambda store: store.scenarios())

    def lines(**changed: Any) -> list[str]:
        async def results(*_: object, **given: Any) -> ResultsView:
            assert given["version"] == 2
            return FOUND.model_copy(update=changed)

        monkeypatch.setattr("gateway.service.results.results", results)
        ran = run("results", "sale", "--version", 2)
        assert (ran.status, ran.err) == (0, "")
        return [line.rstrip() for line in ran.out.splitlines()]

    return lines


def test_a_marketer_reads_rates_worth_and_what_to_know_first(shown: Shown):
    lines = shown()
    assert lines == SHOWN.splitlines()
    assert max(map(len, lines)) <= 80


def test_what_makes_numbers_doubtful_is_told(shown: Shown):
    plain = GOAL.model_copy(update={"value": None, "within": timedelta(days=7)})
    skewed = Comparison(split="subject", arms=[Arm(name="a")], baseline=None, mismatch=7e-79)
    doubtful = {"goal": plain, "is_same_goal": False, "goalless": 7, "control_mismatch": 4e-8, "open": 0}
    lines = shown(**doubtful, versions=[1, 3], entered=3109, contacts=1984, comparisons=[skewed])
    assert [*lines[:2], *lines[8:]] == [
        "sale@1 to @3: order.placed within 7d, if event.total > 0",
        "3,109 entered, and 416 of them reached the goal",
        *WARNED.splitlines(),
    ]


def test_a_scenario_without_a_goal_has_entries_alone(shown: Shown):
    everybody = Comparison(split=None, arms=[Arm(name="all", entered=7)], baseline=None)
    assert shown(goal=None, comparisons=[everybody])[:4] == [
        "sale@1 has no goal: only those who entered are counted",
        "5,003 entered",
        "",
        "all who went through",
    ]
