"""Marketing e-mails that show no way out are warned of, at their place."""

import pytest

from scenario.check.check import check

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
    ],
)
def test_an_e_mail_without_a_link_is_a_warning(step: str, place: str) -> None:
    checked = check(f"scenario: a\ntrigger: order\nsteps:\n{step}\n")
    assert [str(finding) for finding in checked.findings] == [f"scenario.yaml:{place}: {WARNING}"]
    assert checked.scenario is not None


@pytest.mark.parametrize(
    ("head", "step"),
    [
        ("", f"- email: a\n  subject: s\n  text: {LINK}"),
        ("", f"- email: a\n  subject: s\n  html: {LINK}\n  text: {LINK}"),
        ("", "- email: a\n  subject: s\n  text: '{{ journey[\"unsubscribe_url\"] }}'"),
        ("", "- email: a\n  subject: s\n  text: '{% if contact.id %}{{ journey.unsubscribe_url }}{% endif %}'"),
        ("", "- sms: a\n  text: t"),
        ("", "- webhook: a\n  url: https://x.example/\n  body: {a: b}"),
        ("purpose: transactional", "- email: a\n  subject: s\n  text: t"),
    ],
)
def test_what_shows_one_or_needs_none_is_right(head: str, step: str) -> None:
    assert check(f"scenario: a\ntrigger: order\n{head}\nsteps:\n{step}\n").findings == ()


def test_a_text_of_its_own_file_is_warned_of_where_the_step_names_it() -> None:
    text = "scenario: a\ntrigger: order\nsteps:\n- email: a\n  subject: s\n  html: {file: mails/a.html}\n"
    found = check(text, read=lambda _: "<p>Hello", file="scenarios/a.yaml").findings
    assert [str(finding) for finding in found] == [f"scenarios/a.yaml:6:9: {WARNING}"]
    assert check(text, read=lambda _: '<a href="{{ journey.unsubscribe_url }}">').findings == ()


def test_a_template_that_is_no_template_is_one_mistake() -> None:
    text = "scenario: a\ntrigger: order\nsteps:\n- email: a\n  subject: s\n  text: '{{ contact.'\n"
    assert [finding.severity for finding in check(text).findings] == ["error"]
