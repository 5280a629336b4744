# ruff: noqa: E501 - findings are asserted as they are printed
"""The step `wait_for` of several events: what is wrong with one, what is known of the event, what a plan has of it."""

import pytest

from scenario.check.check import check
from scenario.model.document import document, load
from scenario.plan.compile import compile_plan
from scenario.plan.plan import dump_plan, load_plan
from scenario.steps.wait_for import WaitForRow

HEAD = "scenario: s\ntrigger: order\nsteps:\n"

WRONG = (
    ("- wait_for: {a: {}, b: {if: event.x, then: [{sms: s, text: '{{ event.y }}'}]}}\n- sms: t\n  text: '{{ event.name }}'", None),
    ("- wait_for: {a: {}, b: {}}\n  for: 1d\n- sms: t\n  text: '{{ event.name }}'", "7:13: warning may-be-missing: 'event' may be missing here: the 'wait_for' on line 4 can end without it."),
    ("- wait_for: {a: {}, b: {}}\n  for: 1d\n  else: [{sms: t, text: '{{ event.name }}'}]", "6:29: error out-of-scope: "),
    ("- wait_for: {a: {}, b: {}}\n  for: 1d\n  else: [{exit: x}]\n- sms: t\n  text: '{{ event.name }}'", None),
    ("- wait_for: {a: [{exit: b}]}", "4:17: error type: 'a' must be keys with values, not a list"),
    ("- wait_for: {a: {if: contact.frstname}}", "4:30: error unknown-field: 'contact' has no field 'frstname': did you mean 'firstname'?"),
    ("- wait_for: {a: {}, else: {}}\n  for: 1d", "4:21: error misplaced: 'else' stands beside 'wait_for', not in it"),
    ("- wait_for: {a: {}}\n  then: [{exit: a}]", "5:3: error misplaced: of several events, each has its own 'then': write it under the event"),
    ("- wait_for: {a: {then: [{wait_for: a}]}, b: {then: [{wait_for: a}]}}", "4:36: warning at-once: the event that line 4 waited for meets this wait immediately: add 'since: now' to wait for another one"),
)  # fmt: skip


@pytest.mark.parametrize(("steps", "report"), WRONG)
def test_what_is_wrong_with_a_wait_for_several_events_is_said(steps: str, report: str | None):
    found = [str(one).removeprefix("scenario.yaml:") for one in check(HEAD + steps + "\n").findings]
    assert len(found) == (1 if report else 0), found
    assert all(one.startswith(report or "") for one in found)


def test_a_plan_has_each_event_with_its_way_and_the_short_form_stays_as_it_was():
    text = HEAD + (
        "- wait_for: {order.delivered: {if: event.a, then: [{wait: 1d}]}, order.refused: {}}\n  for: 7d\n"
        "- wait_for: order.paid\n  if: event.b\n"
    )
    made = check(text).scenario
    assert made is not None
    dumped = dump_plan(compile_plan(made))
    assert dumped["steps"]["wait_for-2"] == {"kind": "wait_for", "event": "order.paid", "condition": "event.b"}
    plan = load_plan(dumped)
    row = plan.steps["wait_for-1"]
    assert isinstance(row, WaitForRow)
    assert dict(row.ways) == {
        "order.delivered": "wait-1.order--delivered.1",
        "order.refused": "wait_for-2",
        "else": "wait_for-2",
    }
    assert row.describe() == "wait for order.delivered or order.refused, 7d at most"
    assert plan.events == {"order.delivered", "order.refused", "order.paid"}
    assert load(dict(sorted(document(made).items()))) == made
