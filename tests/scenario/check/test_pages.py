# ruff: noqa: E501 - reports are asserted as they are printed
"""Pages of mistakes, and all that `check` says of them: one sentence a mistake, at its place, with what to write."""

from pathlib import Path

import pytest

from scenario.check.check import check
from scenario.source.findings import Finding

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
