"""The value of a goal is a decimal number, whatever it comes as."""

import pytest

from scenario.check.check import check
from scenario.model.document import document, load
from scenario.model.goal import number_of
from scenario.plan.compile import compile_plan
from scenario.plan.plan import PlannedGoal, dump_plan, load_plan


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (12, "12"), (12.5, "12.5"), ("49.90", "49.9"), (" 3 ", "3"), ("1e3", "1000"), ("-2", "-2"), (-0.0, "0"),
        ("0.1234567", "0.123457"), ("1e-999999", "0"), ("1e12", None), ("1e999999999", None), ("nan", None),
        (float("inf"), None), ("49,90", None), ("", None), (True, None), (None, None), ([1], None),
    ],
)  # fmt: skip
def test_a_number_is_read_from_a_number_or_its_text(value: object, number: str | None):
    found = number_of(value)
    assert (None if found is None else format(found, "f")) == number


def test_a_plan_knows_the_event_and_how_long_it_counts():
    text = "scenario: a\ntrigger: order\ngoal: {event: order.placed, within: 14d, value: 25}\nsteps:\n- exit: a\n"
    checked = check(text).scenario
    assert checked is not None
    written = document(checked)
    assert written["goal"] == {"event": "order.placed", "if": None, "within": "14d", "value": "25"}
    assert load(written) == checked
    plan = load_plan(dump_plan(compile_plan(checked)))
    assert plan.goal == PlannedGoal(event="order.placed", within=14 * 86_400.0)
    assert plan.events == {"order.placed"}


def test_a_scenario_without_one_is_stored_as_it_always_was():
    checked = check("scenario: a\ntrigger: order\nsteps:\n- exit: a\n").scenario
    assert checked is not None
    assert "goal" not in document(checked)
    assert dump_plan(compile_plan(checked)).keys() == {"start", "steps"}
