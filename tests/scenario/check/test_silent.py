# ruff: noqa: E501 - reports are asserted as they are printed
"""Mistakes that would go out in silence, warnings that are accepted, batch calls, and whole pages of mistakes."""

from pathlib import Path
from typing import Any

import pytest

from scenario.check.check import check
from scenario.model.scenario import document, load
from scenario.plan.compile import compile_plan
from scenario.source.findings import Finding
from scenario.steps.delivery import Batching, Send

LONG = "x" * 1_601
HOOK = "webhook: w, url: https://h.example/, body: {a: b}"
WARNED: tuple[tuple[str, str | None], ...] = (
    (f"- {{sms: a, text: {LONG}}}", "length"),
    (f"- {{sms: a, text: '{LONG[2:]}{{{{ contact.firstname }}}}'}}", None),
    (f"- {{sms: a, text: '{LONG}{{{{ contact.firstname }}}}'}}", "length"),
    (f"- {{sms: a, text: '{{% if contact.language == \"fr\" %}}{LONG}{{% else %}}b{{% endif %}}'}}", None),
    (f"- {{{HOOK}, headers: {{Authorization: Bearer sk_live_abc}}}}", "literal-secret"),
    (f"- {{{HOOK}, headers: {{authorization: abc}}}}", "literal-secret"),
    (f"- {{{HOOK}, headers: {{X-Token: sk_test_abc}}}}", "literal-secret"),
    (f"- {{{HOOK}, headers: {{X-Api-Key: k1}}}}", "literal-secret"),
    (f"- {{{HOOK}, headers: {{X-Kind: bearer of news}}}}", None),
    ("- {repeat: {every: 1d, times: 3}, steps: [{wait: 3d}, {sms: a, text: t}]}", "round"),
    ("- {repeat: {every: 1d, times: 3}, steps: [{wait: 12h}, {wait: 13h}, {sms: a, text: t}]}", "round"),
    ("- {repeat: {every: 1d, times: 3}, steps: [{wait: 1d}, {sms: a, text: t}]}", None),
    ("- {repeat: {every: 1d, times: 3}, steps: [{if: order.card_code == 'a', then: [{wait: 3d}]}]}", None),
    (
        "- {repeat: {every: 1d, times: 3}, steps: "
        "[{if: order.total_price > 5, then: [{wait: 3d}], else: [{wait: 2d}]}, {sms: a, text: t}]}",
        "round",
    ),
    ("- {sms: a, text: “Hello”}", "quotes"),
    ("- {email: a, subject: «Hello», text: t}", "quotes"),
    ("- {email: a, subject: Say “Hello” to Ann, text: t}", None),
    ("- {sms: a, text: '{{ order.items[0].title }}'}", "unknown-field"),
    ("- {if: contact.custom.vip == '1', then: [{wait: 1d}]}", "custom-type"),
    ("- {if: \"'yes' != order.custom.gift\", then: [{wait: 1d}]}", "custom-type"),
    ("- {if: contact.custom.orders_count > '5', then: [{wait: 1d}]}", "custom-type"),
    ("- {if: contact.custom.vip == true and contact.custom.n > 5, then: [{wait: 1d}]}", None),
    ("- {if: contact.custom.zip == '75001' and contact.custom.since > '2026-01-01', then: [{wait: 1d}]}", None),
    ("- {sms: a, text: '{% if contact.custom.vip == \"TRUE\" %}a{% endif %}b'}", "custom-type"),
)  # fmt: skip


def warnings(steps: str) -> list[str]:
    text = f"scenario: a\ntrigger: order\npurpose: transactional\nsteps:\n{steps}\n"
    found = check(text).findings
    assert all(one.severity == "warning" for one in found), found
    return [one.code for one in found]


@pytest.mark.parametrize(("steps", "code"), WARNED)
def test_what_would_go_out_in_silence_is_told(steps: str, code: str | None) -> None:
    assert warnings(steps) == [code] * (code is not None)


def test_a_field_of_another_platform_is_told_by_its_name_here() -> None:
    text = "scenario: a\ntrigger: order\nsteps: [{sms: a, text: '{{ order.items[0].title }} {{ contact.tz }}'}]\n"
    assert [one.message for one in check(text).findings] == [
        "'order' has no field 'items', which is called 'products' here, unless the engine sends one",
        "'contact' has no field 'tz', which is called 'timezone' here, unless the engine sends one",
    ]


@pytest.mark.parametrize(
    "written",
    [
        "- sms: a\n  text: “Hello”  # check: ignore quotes",
        "- sms: a\n  text: “Hello” # check: ignore length, quotes",
        "- sms: a\n  # check: ignore quotes\n  text: “Hello”",
        "- sms: a\n  text: |  # check: ignore unknown-field\n    Hello\n    {{ order.items }}",
        "- repeat: {every: 1d, times: 3}  # check: ignore round\n  steps: [{wait: 3d}, {sms: a, text: t}]",
    ],
)
def test_a_warning_is_accepted_at_its_line(written: str) -> None:
    assert warnings(written) == []


@pytest.mark.parametrize(
    ("written", "codes"),
    [
        ("- sms: a  # check: ignore quotes\n  text: “Hello”", ["quotes"]),
        ("- sms: a\n  text: “Hello”  # check: ignore length", ["quotes"]),
        ("- sms: a\n  text: |\n    # check: ignore unknown-field\n    {{ order.items }}", ["unknown-field"]),
    ],
)
def test_a_comment_accepts_what_it_names_and_no_more(written: str, codes: list[str]) -> None:
    assert warnings(written) == codes


def test_an_error_is_not_accepted() -> None:
    step = "- {sms: a, text: '{{ order.products.name }}'}  # check: ignore list-field"
    text = f"scenario: a\ntrigger: order\nsteps:\n{step}\n"
    assert [one.code for one in check(text).findings] == ["list-field"]


def test_which_event_is_meant_can_be_said() -> None:
    text = (
        "scenario: a\ntrigger: event\npurpose: transactional\nsteps:\n- wait_for: friend.ordered\n- sms: a\n"
        "  text: '{{ event.contact_id }}'{}\n"
    )
    assert [one.code for one in check(text.replace("{}", "")).findings] == ["which-event"]
    assert check(text.replace("{}", "  # check: ignore which-event")).findings == ()


SCENARIO = """
scenario: sync
trigger: order
steps:
  - webhook: crm
    url: https://crm.example.com/people
    batch: {size: 500, within: 5m, wait: true, results: {list: failures, id: id}}
    body:
      people: {$for: person in contacts, $each: {id: "{{ person.contact.id }}", for: "{{ person.order.total_price }}"}}
"""
ALONE = "    body:\n"
MISTAKES: list[tuple[str, str, str]] = [
    ("size: 500", "size: 10001", "7:19: error value: 'size' must be 10000 or less"),
    ("5m", "0.5s", "7:32: error value: 'within' must be from 1s to 1d"),
    ("5m", "25h", "7:32: error value: 'within' must be from 1s to 1d"),
    ("size: 500, ", "", "7:5: error missing: 'batch' needs 'size'"),
    ("list:", "lists:", "7:58: error unknown-key: unknown key 'lists': did you mean 'list'?"),
    ("id: id", "ok: [1]", "7:57: error value: 'ok' goes with 'status'"),
    (ALONE, "    save: {as: answer}\n    body:\n", "8:5: error incomplete: a batch call has no 'save'"),
    (ALONE, "    content: form\n    body:\n", "8:14: error batch: a batch call is written as json or text"),
    ("person in contacts", "person in (1..3)", "8:5: error batch: a batch call's body loops over 'contacts'"),
    ("person.contact.id", "contact.id", "'contact' is there only under each item of 'contacts' in a batch call"),
    ("person.order.", "person.ordre.", "'person' has no field 'ordre': did you mean 'order'?"),
    ("/people", "/{{ contact.id }}", "'contact' is there only under each item of 'contacts' in a batch call"),
    ("wait: true", "wait: maybe", "7:42: error type: 'wait' must be true or false"),
    ("wait: true", "key: contact.", "'contact.' is not a field: write names joined by '.', such as error.code"),
    ("wait: true", "key: contact.emial", "has no field 'emial': did you mean 'email'?"),
]


@pytest.mark.parametrize(("written", "instead", "said"), MISTAKES)
def test_a_mistake_is_reported_where_it_is(written: str, instead: str, said: str) -> None:
    assert written in SCENARIO
    found = [str(one) for one in check(SCENARIO.replace(written, instead, 1), file="f").findings]
    assert any(said in one for one in found), found


NEEDED: list[tuple[str, tuple[str, ...]]] = [
    ("{{ person.contact.id }}", ("contact.id", "order.total_price")),
    ("{{ person.order.products[0].name }}", ("order.products", "order.total_price")),
    ("{{ person.trigger.order.external_id }}", ("order.external_id", "order.total_price")),
    ("{{ person.journey.callback_url }}", ("journey.callback_url", "order.total_price")),
    ("{{ contacts | size }}", ("order.total_price",)),
    (
        "{{ person | json }}",
        ("cart", "contact", "event", "journey", "order", "responses", "reward", "ticket", "trigger"),
    ),
]


@pytest.mark.parametrize(("leaf", "fields"), NEEDED)
def test_a_journey_hands_over_what_the_templates_read_of_its_contact(leaf: str, fields: tuple[str, ...]) -> None:
    made: Any = check(SCENARIO.replace("{{ person.contact.id }}", leaf), file="f").scenario
    assert made is not None
    assert load(document(made)) == made
    row = compile_plan(made).steps["crm"]
    assert isinstance(row, Send)
    assert (row.fields, row.item_fields, row.batch) == (fields, {}, Batching(within=300.0, wait=True))


def test_the_key_by_which_a_response_names_a_contact_is_handed_over() -> None:
    made: Any = check(SCENARIO.replace("wait: true", "key: contact.email"), file="f").scenario
    row = compile_plan(made).steps["crm"]
    assert isinstance(row, Send)
    assert row.fields == ("contact.email", "contact.id", "order.total_price")


HERE = Path(__file__).parent


def found(page: str) -> tuple[Finding, ...]:
    return check((HERE / page).read_text("utf-8"), file=page).findings


@pytest.mark.parametrize("page", ["mistakes.yaml", "mistakes-of-events.yaml", "mistakes-of-splits.yaml"])
def test_a_page_of_mistakes_is_reported_whole(page: str):
    expected = (HERE / page).with_suffix(".txt").read_text("utf-8")
    assert "".join(f"{finding}\n" for finding in found(page)) == expected


# Line 4 is the first. Where the text is not YAML, that is all that can be said of a file.
NOT_YAML = (
    ('  - email: a\n\tsubject: s\n    text: t', '5:1: error syntax: indent with spaces, not with a tab'),
    ('  - email: a\n    subject: Thank you: {{ contact.firstname }}\n    text: t', "5:23: error syntax: a ':' is not allowed here: put text that has ': ' in it in quotes, or fix the indentation"),
    ('  - email: a\n    subject: Order #{{ order.external_id }}\n    text: t', "5:20: warning comment: YAML takes '#{{ order.external_id }}' for a comment: put text that has ' #' in it in quotes"),
    ('  - email: a\n    subject: {{ contact.firstname }}, hello\n    text: t', "5:14: error syntax: text that begins with '{{' or '{%' needs quotes around it"),
    ("  - email: a\n    subject: 'It's time'\n    text: t", '5:18: error syntax: the quotes end before this: between single quotes write \'\' for \', between double ones \\" for "'),
    ('  - email: a\n    subject: @you\n    text: t', "5:14: error syntax: a value cannot begin with '@': put it in quotes"),
    ('  - email: a\n    subject: %off\n    text: t', "5:14: error syntax: a value cannot begin with '%': put it in quotes"),
    ('  - email: a\n    subject: *Hello*\n    text: t', "5:14: error syntax: a value that begins with '*' repeats another one: put text in quotes"),
    ('  - email: a\n    subject: & more\n    text: t', "5:14: error syntax: a value that begins with '&' is marked to be repeated: put text in quotes"),
    ('  - email: a\n    subject: [NEW] hats\n    text: t', "5:20: error syntax: text that begins with '[' or '{' needs quotes around it"),
    ('  - email: a\n    subject: > hello\n    text: t', "5:16: error syntax: after '|' or '>' the text begins on the next line"),
    ('  - email: a\n    subject: s\n    text: | Dear\n      you', "6:13: error syntax: after '|' or '>' the text begins on the next line"),
    ('  - email: a\n    subject: s\n    text: Dear {{ contact.firstname }},\n    thank you', "7:5: error syntax: a key needs a ':' and a space after it; a long text needs quotes or '|' before it"),
    ('  - email: a\n  subject: s\n  text: t', "5:3: error syntax: this line does not fit the lines above: fix its indentation, its '-' or its quotes"),
    ('  - if: !contact.custom.vip && contact.email\n    then: [{exit: a}]', "4:29: error syntax: YAML takes '!' and '&' for its own: write 'not' and 'and' in a condition"),
    ("  - if: contact.lists | has: 'name', 'N'\n    then: [{exit: a}]", "4:28: error syntax: a ':' is not allowed here: put text that has ': ' in it in quotes, or fix the indentation"),
    ("  - if: 'fr' == contact.language\n    then: [{exit: a}]", '4:14: error syntax: a condition that begins with a quote needs other quotes around all of it'),
    ('  - if: "fr" == contact.language\n    then: [{exit: a}]', '4:14: error syntax: a condition that begins with a quote needs other quotes around all of it'),
    ('  - wait: {until: 10:00 on: [mon]}', "4:11: error syntax: the '{' that opens here is not closed, or a ',' is missing in it"),
    ('  - wait: {until 10:00}', "4:12: error unknown-key: a key is followed by ': ': write 'until:' and a space"),
    ('  - wait: {until: 10:00, on: [mon, tue}', "4:30: error syntax: the '[' that opens here is not closed, or a ',' is missing in it"),
    ('  - webhook: a\n    to: crm\n    body: {id: {{ contact.id }}, name: "x"}', "6:16: error quotes: text that begins with '{{' or '{%' needs quotes around it"),
    ('  - sms: a\n    text: t\n<<: *x', "6:5: error syntax: nothing above is marked with '&' for this '*' to repeat: put text in quotes"),
    ('  - sms: a\n    text: !!python/object x', "5:11: error tag: the tag 'tag:yaml.org,2002:python/object' means nothing here: leave it out"),
    ('  - sms: a\n    text: t\n---\nscenario: b', "6:1: error syntax: a file holds one scenario: move the part after '---' to another file"),
    ('  - sms: a\n    text: "\\d"', '5:13: error syntax: a backslash between double quotes must be doubled, or put the text between single quotes'),
    ('  — sms: a\n    text: t', "5:9: error syntax: a ':' is not allowed here: put text that has ': ' in it in quotes, or fix the indentation"),
    ('  - sms: a\n    text： t', "5:5: error syntax: a key needs a ':' and a space after it; a long text needs quotes or '|' before it"),
)  # fmt: skip


@pytest.mark.parametrize(("steps", "report"), NOT_YAML, ids=[steps for steps, _ in NOT_YAML])
def test_what_yaml_takes_in_another_way_is_said_as_an_author_sees_it(steps: str, report: str):
    findings = check(f"scenario: a\ntrigger: order\nsteps:\n{steps}\n").findings
    told = [str(finding).removeprefix("scenario.yaml:") for finding in findings if finding.code != "no-unsubscribe"]
    assert told == [report]
