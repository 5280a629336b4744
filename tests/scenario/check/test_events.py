# ruff: noqa: E501 - findings are asserted whole
"""`trigger` and `event` are two things, and the check says which one is meant where they differ."""

import pytest

from scenario.check.check import check


def lines(text: str) -> list[str]:
    return [str(finding).removeprefix("scenario.yaml:") for finding in check(text).findings]


WAITS = """\
scenario: a
trigger: event
steps:
  - wait_for: b
    if: event.order == trigger.properties.order
    for: 2d
    then:
      - sms: one
        text: "{{ event.product.name }} {{ event.order }}"
    else:
      - webhook: two
        url: https://x.example/{{ event.properties.sku }}
        body: {a: {b: "x {{ event.time }}"}}
  - sms: three
    text: "{% if event %}{{ event.product.name }}{% endif %}{% assign event = 1 %}"
"""
LINE = "the trigger's is always"
MET = "4 waited for"
WHICH = [
    f"9:19: warning which-event: 'event' is the one that line {MET}; {LINE} 'trigger.properties.product.name'",
    f"12:35: warning which-event: 'event' is the trigger's here, since line 4 waited for another one in vain; {LINE} 'trigger.properties.sku'",
    f"13:29: warning which-event: 'event' is the trigger's here, since line 4 waited for another one in vain; {LINE} 'trigger.time'",
    f"15:29: warning which-event: 'event' is the one that line {MET}, or the trigger's event if none came; {LINE} 'trigger.properties.product.name'",
]


def test_an_event_that_could_be_meant_for_the_triggers_is_named():
    assert lines(WAITS) == WHICH
    other = WAITS.replace("trigger: event", "trigger: birthday").replace("trigger.properties.order", "1")
    assert "which-event" not in str(lines(other))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ trigger.cart.total_price }}", "'trigger' has no field 'cart': it has type, order and ticket"),
        ("{{ trigger.event.name }}", "'trigger' has no field 'event': it has type, order and ticket"),
        ("{{ trigger.order.totl_price }}", "'trigger.order' has no field 'totl_price': did you mean 'total_price'?"),
        ("{{ trigger }}", "name which part of 'trigger' is meant: trigger.NAME"),
        ("{{ trigger[contact.id] }}", "name which part of 'trigger' is meant: trigger.NAME"),
        ("{{ trigger.order.products.first.name }}{{ trigger.type }}{{ journey.key }}", None),
    ],
)  # fmt: skip
def test_what_is_below_trigger_is_known(text: str, message: str | None):
    told = [
        finding.message
        for finding in check(f'scenario: a\ntrigger: order\nsteps:\n- sms: s\n  text: "{text}"\n').findings
    ]
    assert told == ([message] if message else [])
