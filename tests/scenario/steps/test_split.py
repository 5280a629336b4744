"""The step `split`: what it is drawn with, what its plan keeps, where it leads, what it is called."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scenario.check.check import check
from scenario.model.document import digest, document, load
from scenario.plan.compile import compile_plan
from scenario.plan.plan import Plan, dump_plan, load_plan
from scenario.steps.registry import KINDS, dump_row, read_row
from scenario.steps.split import SplitRow

HEAD = "scenario: post-purchase\ntrigger: order\nsteps:\n"
NESTED = """\
- split: {b: 33.33, a: 66.67}
  id: tone
  branches:
    a: [{split: {x: 50, y: 50, none: 0}, branches: {x: [{wait: 1d}]}}]
- exit: done
"""


def made(steps: str) -> Any:
    checked = check(HEAD + steps)
    assert checked.scenario is not None, checked.findings
    return checked.scenario


def plan(steps: str) -> Plan:
    """As a journey gets it, whose history has sorted keys."""
    return load_plan(json.loads(json.dumps(dump_plan(compile_plan(made(steps))), sort_keys=True)))


def test_a_plan_holds_the_seed_and_the_ranges_in_their_order() -> None:
    steps = plan(NESTED).steps
    outer, inner = steps["tone"], steps["split-1.a.1"]
    assert isinstance(outer, SplitRow)
    assert isinstance(inner, SplitRow)
    assert (outer.lot.seed, list(outer.lot.shares.items())) == ("post-purchase/tone", [("b", 3333), ("a", 6667)])
    assert inner.lot.seed == "post-purchase/split-1.a.1"
    assert dict(outer.ways) == {"b": "exit-2", "a": "split-1.a.1"}
    assert dict(inner.ways) == {"x": "wait-1.a.1.x.1", "y": "exit-2", "none": "exit-2"}
    assert (outer.skipped_to, inner.skipped_to) == ("exit-2", "exit-2")
    assert (outer.describe(), inner.describe()) == ("split b 33.33 a 66.67", "split x 50 y 50 none 0")


def test_a_stored_scenario_is_the_one_that_was_published_whatever_becomes_of_its_keys() -> None:
    scenario = made(NESTED)
    stored = json.loads(json.dumps(document(scenario), sort_keys=True))
    assert load(stored) == scenario
    assert dump_plan(compile_plan(load(stored))) == dump_plan(compile_plan(scenario))


def test_another_order_of_ranges_is_another_version() -> None:
    other = NESTED.replace("{b: 33.33, a: 66.67}", "{a: 66.67, b: 33.33}")
    assert digest(document(made(NESTED))) != digest(document(made(other)))


def test_a_seed_of_its_own_goes_along_where_the_scenario_is_called_otherwise() -> None:
    text = HEAD.replace("post-purchase", "another") + "- split: {a: 50, b: 50}\n  seed: tone of 2026\n"
    scenario = check(text).scenario
    assert scenario is not None
    lot = compile_plan(scenario).steps["split-1"].lot
    assert lot is not None
    assert lot.seed == "tone of 2026"


def test_a_row_is_read_as_it_was_written() -> None:
    row = plan(NESTED).steps["tone"]
    assert read_row(json.loads(json.dumps(dump_row(row), sort_keys=True))) == row


@pytest.mark.parametrize("word", ["ab_test", "experiment", "random", "cohort"])
def test_it_is_known_by_the_words_of_others(word: str) -> None:
    assert word in KINDS["split"].synonyms


def test_nobody_comes_by_a_branch_without_a_share() -> None:
    steps = "- split: {a: 100, b: 0}\n  branches: {a: [{exit: a}], b: [{wait: 1d}]}\n- exit: done\n"
    assert [finding.code for finding in check(HEAD + steps).findings] == ["unreachable"]
    assert check(HEAD + steps.replace("a: 100, b: 0", "a: 99.99, b: 0.01")).findings == ()
