"""`scenario results`, as a marketer reads it and as a program does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from runtime.store import Store
from runtime.store.schema import entries
from scenario.check.check import check
from scenario.model.document import digest, document
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan
from tests.gateway.cli.conftest import Run

SALE = """
scenario: sale
trigger: segment
control: 10
goal: {event: order.placed, if: event.total > 0, within: 14d, value: "{{ event.total }}"}
steps:
  - id: subject
    split: {a: 50, b: 45, none: 5}
"""
SHOWN = """\
sale@1: order.placed within 14d, if event.total > 0
5,003 came in, and 416 of them reached the goal; 180 more still have time

split subject, as drawn at the entry; compared with control
          came in   reached     rate           95 %    uplift       p
─────────────────────────────────────────────────────────────────────
a           2,250       180   8.00 %    6.95–9.19 %   +33.3 %   0.128
b           2,025       202   9.98 %   8.74–11.36 %   +66.3 %   0.006
none          225         4   1.78 %    0.69–4.48 %   -70.4 %   0.013
control       500        30   6.00 %    4.23–8.44 %

              value   for each who came in
──────────────────────────────────────────
a          8,910.00                   3.96
b         11,160.50                   5.51
none         200.00                   0.89
control    1,350.00                   2.70

95 %: where the true rate is in 95 of 100 cases. p: how often chance alone would
  make such a difference; below 0.05 it is seldom.
3 are in no branch of split subject: which one they would take was not known
  when they came in
"""


@pytest.fixture
def sold(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands beside a store with a scenario that many came into."""
    file = tmp_path / "store.db"
    checked = check(SALE).scenario
    assert checked is not None
    content, now, numbers = document(checked), datetime.now(UTC), count()

    async def publish() -> None:
        async with Store.open(f"sqlite:///{file}") as store:
            await store.publish("sale", content, dump_plan(compile_plan(checked)), digest(content))
            empty = {"scenario": "empty", "steps": [{"exit": "a"}]}
            plain = check("scenario: empty\ntrigger: segment\nsteps: [{exit: a}]\n").scenario
            assert plain is not None
            await store.publish("empty", document(plain), dump_plan(compile_plan(plain)), str(empty))

    def rows(entered: int, reached: int, value: str, *, still: int = 0, **more: Any) -> list[dict[str, Any]]:
        return [
            {
                "scenario": "sale",
                "version": 1,
                "contact_id": f"{number}",
                "workflow_id": f"sale/{number}",
                "run_id": "r",
                "key": "",
                "ordinal": 1,
                "trigger": "segment",
                "admitted_at": now - timedelta(days=20),
                "goal_until": now + timedelta(days=1 if turn >= entered - still else -6),
                "reached_at": now - timedelta(days=19) if turn < reached else None,
                "goal_value": value if turn < reached else None,
                **more,
            }
            for turn, number in zip(range(entered), numbers, strict=False)
        ]

    asyncio.run(publish())
    with create_engine(f"sqlite:///{file}").begin() as connection:
        for some in (
            rows(2250, 180, "49.50", still=180, branches={"subject": "a"}),
            rows(2025, 202, "55.25", branches={"subject": "b"}),
            rows(225, 4, "50", branches={"subject": "none"}),
            rows(500, 30, "45", branches={}, outcome="control"),
            rows(3, 0, "0", branches={}),
        ):
            connection.execute(entries.insert(), some)
    monkeypatch.setenv("SCENARIO_STORE", f"sqlite:///{file}")
    monkeypatch.setenv("COLUMNS", "80")
    return run


def test_a_marketer_reads_rates_worth_and_what_to_know_first(sold: Run) -> None:
    ran = sold("results", "sale")
    assert (ran.status, ran.err) == (0, "")
    assert [line.rstrip() for line in ran.out.splitlines()] == SHOWN.splitlines()
    assert max(map(len, ran.out.splitlines())) <= 80


def test_a_program_reads_all_of_it(sold: Run) -> None:
    found = sold("results", "sale", "--format", "json").json
    (one,) = found.pop("comparisons")
    assert found == {
        "scenario": "sale",
        "versions": [1],
        "goal": {"event": "order.placed", "if": "event.total > 0", "within": "14d", "value": "{{ event.total }}"},
        "is_same_goal": True,
        "goalless": 0,
        "entered": 5003,
        "contacts": 5003,
        "reached": 416,
        "open": 180,
        "control_mismatch": None,
    }
    arms = one.pop("arms")
    assert one == {"split": "subject", "baseline": "control", "mismatch": None, "undrawn": 3}
    assert [arm["name"] for arm in arms] == ["a", "b", "none", "control"]
    first = arms[0]
    assert first.pop("interval") == pytest.approx([0.0695, 0.0919], abs=1e-4)
    assert first.pop("p") == pytest.approx(0.1277, abs=1e-4)
    assert first == {
        "name": "a",
        "entered": 2250,
        "reached": 180,
        "open": 180,
        "rate": 0.08,
        "value": "8910",
        "value_each": "3.96",
        "uplift": pytest.approx(1 / 3),
        "is_too_small": False,
    }


def test_a_scenario_without_a_goal_has_entries_alone(sold: Run) -> None:
    ran = sold("results", "empty")
    assert (ran.status, ran.out.splitlines()[:2]) == (
        0,
        ["empty@1 has no goal: only those who came in are counted", "0 came in"],
    )


WARNED = """
warning: the branches of split subject did not come out as large as drawn (p =
  7e-79): contacts are missing on one side, or counted twice. Find out why
  before you believe the rates
3 are in no branch of split subject: which one they would take was not known
  when they came in
warning: the control group did not come out as large as drawn (p = 4e-08):
  contacts are missing on one side, or counted twice. Find out why before you
  believe the rates
1,984 contacts came in 3,109 times: entries of one contact are alike, so
  intervals are wider, and p is larger, than is said here
"""


def test_shares_out_of_ratio_and_repeated_contacts_are_told(sold: Run, tmp_path: Path) -> None:
    with create_engine(f"sqlite:///{tmp_path / 'store.db'}").begin() as connection:
        for statement in (
            "DELETE FROM entries WHERE (branches LIKE '%\"b\"%' OR outcome = 'control') AND contact_id % 4",
            "UPDATE entries SET key = contact_id, contact_id = contact_id / 2 WHERE branches LIKE '%\"a\"%'",
        ):
            connection.exec_driver_sql(statement)
    ran = sold("results", "sale")
    assert ran.out.endswith(WARNED), ran.out
