# ruff: noqa: E501 - findings are asserted whole
"""A goal is asked of an event when the contact's data may be gone, and the check says what it may name."""

import pytest

from scenario.check.check import check

GONE = "is there only while the journey runs, but a goal is also counted after it: use event.… or journey.key"
ONE = "error goal-value: the value of a goal is one number: write one output, such as {{ event.total }}, or a number"


def lines(goal: str, trigger: str = "order") -> list[str]:
    text = f"scenario: a\ntrigger: {trigger}\ngoal: {goal}\nsteps:\n- exit: a\n"
    return [str(finding).removeprefix("scenario.yaml:3:") for finding in check(text).findings]


@pytest.mark.parametrize(
    ("goal", "found"),
    [
        ("{event: order.placed, if: event.total > 0, within: 14d, value: '{{ event.total }}'}", []),
        ("{event: a, within: 90d, if: event.order_id == journey.key and journey.version > 1}", []),
        ("{event: a, within: 1d, value: '{{ event.total | number | times: 0.2 }}'}", []),
        ("{event: a, within: 1d, value: 25}", []),
        ("{event: a, within: 1d, value: ' {{ event.properties.total }}'}", []),
        ("{event: a}", ["1: error missing: 'goal' needs 'within'"]),
        ("{within: 1d}", ["1: error missing: 'goal' needs 'event'"]),
        ("order.placed", ["7: error type: 'goal' must be keys with values, not a text: it has event, if, within and value"]),
        ("{event: a, for: 3d, amount: 2}", ["18: error unknown-key: unknown key 'for': did you mean 'within'?", "27: error unknown-key: unknown key 'amount': did you mean 'value'?"]),
        ("{event: a, within: 1d, by: me}", ["30: error unknown-key: unknown key 'by': 'goal' has event, if, within and value"]),
        ("{event: a, within: 91d}", ["26: error value: a goal counts for 90d at most"]),
        ("{event: a, within: 1d, if: event.order_id == order.external_id}", [f"52: error out-of-scope: 'order' {GONE}"]),
        ("{event: a, within: 1d, if: now > event.time}", [f"34: error out-of-scope: 'now' {GONE}"]),
        ("{event: a, within: 1d, if: cart or responses.x}", [f"34: error out-of-scope: 'cart' {GONE}", f"42: error out-of-scope: 'responses' {GONE}"]),
        ("{event: a, within: 1d, value: '{{ trigger.order.total_price }}'}", [f"41: error out-of-scope: 'trigger' {GONE}"]),
        ("{event: a, within: 1d, if: journey.kee}", ["42: error unknown-field: 'journey' has no field 'kee': did you mean 'key'?"]),
        ("{event: a, within: 1d, value: '{{ event.total }} EUR'}", [f"37: {ONE}"]),
        ("{event: a, within: 1d, value: '{{ event.a }}{{ event.b }}'}", [f"37: {ONE}"]),
        ("{event: a, within: 1d, value: '{% if event %}1{% endif %}'}", [f"37: {ONE}"]),
        ("{event: a, within: 1d, value: much}", [f"37: {ONE}"]),
        ("{event: a, within: 1d, value: '{{ event.time }}'}", ["41: error goal-value: 'event.time' is not a number: write the event's value, such as {{ event.total }}"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_goal_is_said_at_its_place(goal: str, found: list[str]):
    assert lines(goal) == found


def test_its_event_is_not_the_one_that_let_the_contact_in():
    assert lines("{event: a, within: 1d, if: event.sku == journey.key, value: '{{ event.total }}'}", "event") == []
