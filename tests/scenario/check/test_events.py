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


PROVIDERS = """\
scenario: a
trigger: order
goal: {event: email.opened, within: 7d, if: event.code == "1"}
exit:
  - event: email.bounce
  - event: email.bounced
    if: event.type == "hard" and event.cod == "1" and event.who == "7"
  - event: whatsapp.replied
    if: event.anything == "x"
steps:
  - sms: one
    text: "{{ journey.delivery_id }} {{ journey.unsubscribe_url }}"
  - wait_for: sms.undelivered
    for: 2d
  - wait_for:
      email.open: {if: event.anything == "x"}
      email.clicked: {if: event.stp == "one", then: [{sms: two, text: "{{ event.stp }} {{ journey.unsubscribe_url }}"}]}
    for: 2d
  - repeat: {every: 1d, times: 3, until: {event: email.delivered, if: event.step == "one"}}
    steps: [{wait: 1h}]
  - if: journey.delivery_id == "x"
    then: [{exit: x}]
"""
OTHERWISE = "unless the engine sends one"


def test_events_of_providers_are_known_with_their_properties():
    """All are warnings, because the engine may report events of any name."""
    assert lines(PROVIDERS) == [
        f"3:51: warning unknown-field: 'event' has no field 'code', {OTHERWISE}",
        "5:12: warning unknown-event: no provider reports 'email.bounce': did you mean 'email.bounced'?",
        "7:40: warning unknown-field: 'event' has no field 'cod': did you mean 'code'?",
        f"7:61: warning unknown-field: 'event' has no field 'who', {OTHERWISE}",
        "13:15: warning unknown-event: no provider reports 'sms.undelivered': did you mean 'sms.failed'?",
        "16:7: warning unknown-event: no provider reports 'email.open': did you mean 'email.opened'?",
        "17:33: warning unknown-field: 'event' has no field 'stp': did you mean 'step'?",
        "17:81: warning unknown-field: 'event' has no field 'stp': did you mean 'step'?",
        "21:17: error out-of-scope: 'journey.delivery_id' is there only in an email, sms or webhook step",
    ]
