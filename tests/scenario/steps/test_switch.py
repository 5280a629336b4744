# ruff: noqa: E501 - findings are asserted as they are printed
"""The step `switch`: which case a value meets, what is wrong with one, what its steps are called."""

from decimal import Decimal
from typing import Any

import pytest

from scenario.check.check import check
from scenario.model.document import document, load
from scenario.model.outline import spelled
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan, load_plan
from scenario.steps.registry import KINDS
from scenario.steps.switch import SwitchRow, case_met, values_of

HEAD = "scenario: s\ntrigger: order\nsteps:\n"
CASES = ("fr", "1", "1.50", "true", "False", "no", "010", "-3")


@pytest.mark.parametrize(
    ("value", "case"),
    [
        ("fr", "fr"), ("FR", None), ("", None), ("no", "no"), ("010", "010"),
        (1, "1"), (1.0, "1"), (Decimal("1.0"), "1"), ("1", "1"), ("1.0", None), (True, "true"), (10, None),
        (1.5, "1.50"), (Decimal("1.5"), "1.50"), (-3, "-3"), (0, None), (float("nan"), None), (10**40, None),
        (False, "False"), ("true", "true"), ("True", None),
        (None, None), ([], None), (["fr"], None), ({"fr": 1}, None),
    ],
)  # fmt: skip
def test_a_value_meets_the_case_that_says_the_same(value: object, case: str | None):
    assert case_met(value, CASES) == case


def test_what_is_made_up_for_a_case_meets_it():
    assert {(case, case_met(value, CASES)) for case in CASES for value in values_of(case)} == {(c, c) for c in CASES}


WRONG = (
    ("- switch: order.total_price\n  cases: {1: [], 1.0: []}", "5:18: error case: '1.0' is the same value as '1': remove one"),
    ("- switch: contact.custom.step\n  cases: {true: [], True: []}", "5:21: error case: 'True' is the same value as 'true': remove one"),
    ("- switch: contact.custom.step\n  cases: {1: [], true: [], 010: [], no: [], yes: []}", None),
    ("- switch: order.total_price\n  cases: {1: [], 1.5: [], cheap: []}", "5:27: warning case: no value meets this case: a number and a text are never equal"),
    ("- switch: contact.lists\n  cases: {vip: []}", "5:11: warning case: no value meets this case: a list and a text are never equal: write contact.lists | map: 'name' contains 'vip'"),
    ("- switch: contact.lists | size\n  cases: {1: [], 2: []}", None),
    ("- switch: contact.language\n  cases: {fr: [], 10: [], \"l'x\": []}", None),
    ('- switch: contact.language\n  cases: {"<b>": [{exti: a}]}', "5:20: error unknown-step: unknown step 'exti': did you mean 'exit'?"),
    ("- switch: contact.language\n  cases: {fr: [], default: []}", "5:19: warning case: 'default' is a case like any other: steps for all other values stand in 'else'"),
)  # fmt: skip


@pytest.mark.parametrize(("step", "report"), WRONG)
def test_what_is_wrong_with_a_switch_is_said(step: str, report: str | None):
    found = [str(finding).removeprefix("scenario.yaml:") for finding in check(HEAD + step + "\n").findings]
    assert found == ([report] if report else [])


def test_where_a_case_is_met_an_event_is_certain_that_the_value_is_of():
    step = "- wait_for: a\n  for: 1d\n- switch: event.kind\n  cases:\n    x: [{sms: s, text: '{{ event.kind }}'}]\n  else: []\n"
    found = check(HEAD + step).findings
    assert [finding.code for finding in found] == ["may-be-missing"]  # of the value itself
    assert found[0].line == 6


@pytest.mark.parametrize(
    ("value", "implied"),
    [("contact.language", ("contact.language != blank", True)), ("contact.language | downcase", None), (7, None)],
)
def test_only_a_path_has_a_value_in_each_case(value: object, implied: tuple[str, bool] | None):
    found = KINDS["switch"].implied({"switch": value, "cases": {"fr": [], "de": []}})
    assert set(found.values()) == ({implied} if implied else set())


def test_no_two_ways_have_one_spelling():
    ways = ["fr", "fr_FR", "fr-FR", "fr--FR", "fr.FR", "a.-b", "a-.b", "é", "è", "", " ", "<b>"]
    ways += ["1", "1.0", "x" * 41, "x" * 42, "a\nb"]
    made = [spelled(way) for way in ways]
    assert len(set(made)) == len(ways)
    assert made[:3] == ways[:3]
    assert spelled("fr.FR") == "fr--FR"
    assert all(name.isascii() and name.replace("-", "").replace("_", "").isalnum() for name in made)


def test_a_plan_keeps_the_ways_by_what_was_written():
    text = HEAD + "- switch: contact.language\n  cases: {é: [{wait: 1d}], fr: []}\n- exit: done\n"
    made = check(text).scenario
    assert made is not None
    plan: Any = load_plan(dump_plan(compile_plan(made)))
    row = plan.steps["switch-1"]
    assert isinstance(row, SwitchRow)
    assert dict(row.ways) == {"é": f"wait-1.{spelled('é')}.1", "fr": "exit-2", "else": "exit-2"}
    assert (row.skipped_to, row.asked) == ("exit-2", "contact.language")
    assert load(dict(sorted(document(made).items()))) == made
