# ruff: noqa: E501 - findings are asserted whole
"""`trigger`, `event`, a goal's event and the link to unsubscribe: the check says what is there, and what is meant."""

import json

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


LINKED = "{{ journey.callback_url }}"
RESERVED = "is a reserved name, and a link with it never counts: choose another, such as chat.replied"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"{LINKED}?name=email.clicked", "email.clicked"),
        (f"{LINKED}?score=9&name=contact.unsubscribed&x=1", "contact.unsubscribed"),
        (f"{LINKED}?score={{{{ contact.id }}}}&amp;name=sms.replied", "sms.replied"),
        ("{{journey.callback_url}}?name=whatsapp.{{ contact.id }}", "whatsapp."),
        ("{{- journey.callback_url -}}?name=%65mail.x", "email.x"),
        ("{{ journey.callback_url | append: '?name=email.x&a=1' }}", "email.x"),
        # Links that count, and other URLs.
        (f"{LINKED}?name=newsletter.confirmed&from=email.clicked", None),
        (f"{LINKED}?name={{{{ contact.id }}}}", None),
        (f"{LINKED} https://shop.example.com/?name=email.clicked", None),
        ("{{ journey.id }}?name=email.clicked", None),
        (f"{LINKED}?" * 20_000, None),
    ],
    ids=range(11),
)
def test_a_link_with_a_reserved_name_is_an_error_in_every_message(text: str, name: str | None):
    written = json.dumps(text)
    steps = f"- sms: a\n  text: {written}\n- webhook: b\n  url: https://x.example\n  body: {{a: [{written}]}}\n"
    found = [line for line in lines(f"scenario: a\ntrigger: order\nsteps:\n{steps}") if "reserved-event" in line]
    column = text.find("name=") + len("name=")
    places = [] if name is None else [f"5:{column + 10}", f"8:{column + 15}"]
    assert found == [f"{place}: error reserved-event: '{name}' {RESERVED}" for place in places]


def test_a_link_in_a_file_is_checked_there():
    text = "scenario: a\ntrigger: order\nsteps:\n- email: a\n  subject: s\n  html: {file: a.html}\n"
    html = f'<p>\n<a href="{LINKED}?name=email.read">'
    (found,) = [one for one in check(text, read=lambda _: html).findings if one.code == "reserved-event"]
    assert (found.file, found.line, found.column) == ("a.html", 2, len(f'<a href="{LINKED}?name=') + 1)


GONE = "is there only while the journey runs, but a goal is also counted after it: use event.… or journey.key"
ONE = "error goal-value: the value of a goal is one number: write one output, such as {{ event.total }}, or a number"


def lines_of_goal(goal: str, trigger: str = "order") -> list[str]:
    told = lines(f"scenario: a\ntrigger: {trigger}\ngoal: {goal}\nsteps:\n- exit: a\n")
    return [line.removeprefix("3:") for line in told]


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
    assert lines_of_goal(goal) == found


def test_its_event_is_not_the_one_that_let_the_contact_in():
    assert (
        lines_of_goal("{event: a, within: 1d, if: event.sku == journey.key, value: '{{ event.total }}'}", "event") == []
    )


WARNING = (
    "warning no-unsubscribe: this shows no link to unsubscribe: put {{ journey.unsubscribe_url }} into it, or write "
    "'purpose: transactional' if the scenario is no marketing"
)
LINK = "'{{ journey.unsubscribe_url }}'"


@pytest.mark.parametrize(
    ("step", "place"),
    [
        ("- email: a\n  subject: s\n  text: t", "6:9"),
        ("- email: a\n  subject: s\n  html: <p>t", "6:9"),
        (f"- email: a\n  subject: s\n  html: <p>t\n  text: {LINK}", "6:9"),
        (f"- email: a\n  subject: s\n  html: {LINK}\n  text: t", "7:9"),
        ("- email: a\n  subject: s\n  html: <p>t\n  text: t", "6:9"),
        (f"- email: a\n  subject: {LINK}\n  text: t", "6:9"),
        ("- email: a\n  subject: s\n  text: '{{ journey.id }}'", "6:9"),
        ("- if: contact.email\n  then: [{email: a, subject: s, text: t}]", "5:39"),
        # What shows one or needs none is right.
        (f"- email: a\n  subject: s\n  text: {LINK}", None),
        (f"- email: a\n  subject: s\n  html: {LINK}\n  text: {LINK}", None),
        ("- email: a\n  subject: s\n  text: '{{ journey[\"unsubscribe_url\"] }}'", None),
        ("- email: a\n  subject: s\n  text: '{% if contact.id %}{{ journey.unsubscribe_url }}{% endif %}'", None),
        ("- sms: a\n  text: t", None),
        ("- webhook: a\n  url: https://x.example/\n  body: {a: b}", None),
        ("- email: a\n  subject: s\n  text: t\npurpose: transactional", None),
    ],
)
def test_an_e_mail_without_a_link_is_a_warning(step: str, place: str | None) -> None:
    checked = check(f"scenario: a\ntrigger: order\nsteps:\n{step}\n")
    assert [str(one) for one in checked.findings] == ([f"scenario.yaml:{place}: {WARNING}"] if place else [])
    assert checked.scenario is not None


def test_a_text_of_its_own_file_is_warned_of_where_the_step_names_it() -> None:
    text = "scenario: a\ntrigger: order\nsteps:\n- email: a\n  subject: s\n  html: {file: mails/a.html}\n"
    found = check(text, read=lambda _: "<p>Hello", file="scenarios/a.yaml").findings
    assert [str(finding) for finding in found] == [f"scenarios/a.yaml:6:9: {WARNING}"]
    assert check(text, read=lambda _: '<a href="{{ journey.unsubscribe_url }}">').findings == ()


def test_a_template_that_is_no_template_is_one_mistake() -> None:
    text = "scenario: a\ntrigger: order\nsteps:\n- email: a\n  subject: s\n  text: '{{ contact.'\n"
    assert [finding.severity for finding in check(text).findings] == ["error"]
