"""Everything that is not as expected is found, at its place, and nothing else."""

from collections.abc import Iterable
from typing import Any

from gateway.cases.compare import MISSING
from tests.gateway.cases.conftest import Make, differences

STEPS = """
- email: mail
  subject: Hello {{ contact.firstname }}
  html: <p>It is <b>here</b></p>
- wait: 1d
- webhook: hook
  url: https://h.example/a?b=c
  headers: {X-Shop: paris}
  body: {name: "{{ contact.firstname }}", lines: [{n: 1, q: 2}, {n: 2, q: 1}], gift: false}
- webhook: form
  url: https://h.example/f
  content: form
  body: {tag: [a, b], one: "1"}
- sms: text
  text: "Bye {{ contact.firstname }}"
"""
ALL = "{email: mail}, {webhook: hook}, {webhook: form}, {sms: text}"


def one(step: str) -> str:
    """All steps, this one of them as it is."""
    kind = step.partition("}")[0].partition(",")[0]
    return f"steps: [{ALL.replace(kind + '}', step, 1)}]"


def cases_of(expectations: Iterable[str]) -> dict[str, str]:
    start = "with: {contact: {firstname: Zoé}}\nexpect: "
    return {f"case-{number}": f"{start}{{{expect}}}" for number, expect in enumerate(expectations)}


RIGHT = [
    f"steps: [{ALL}]",
    "ends: finished",
    "never: []",
    one("{email: mail, subject: Hello Zoé, to: a@example.com, from: {contains: sender@example.com}}"),
    one("{email: mail, html: {matches: 'is.*<b', lacks: there}, text: {contains: It is here}}"),
    one("{email: mail, headers: {message-id: {contains: msg_}}}"),
    one("{webhook: hook, method: POST, url: 'https://h.example/a?b=c', headers: {x-shop: paris}}"),
    one("{webhook: hook, body: {lines: [{n: 1}, {q: 1}]}}"),
    one("{webhook: hook, body_is: {name: Zoé, lines: [{n: 1, q: 2}, {n: 2, q: 1}], gift: false}}"),
    one("{webhook: form, body: {tag: [a, b], one: '1'}}"),
    one("{sms: text, text: Bye Zoé, at: 2026-03-03T09:00}"),
]
WRONG: list[tuple[str, tuple[Any, ...], Any, Any]] = [
    ("refused: {contains: x}", ("refused", "contains"), "x", MISSING),
    ("ends: held", ("ends",), "held", "finished"),
    ("reason: x", ("reason",), "x", ""),
    ("never: [sms]", ("never", 0), MISSING, "sms text"),
    ("never: [wait-2]", ("never", 0), MISSING, "wait wait-2"),
    (one("{email: mail, subject: Hello}"), ("steps", 0, "subject"), "Hello", "Hello Zoé"),
    (one("{email: mail, reply_to: a@example.com}"), ("steps", 0, "reply_to"), "a@example.com", MISSING),
    (one("{email: mail, text: {lacks: here}}"), ("steps", 0, "text", "lacks"), "here", "It is here\n"),
    (one("{webhook: hook, body: {gift: 0}}"), ("steps", 1, "body", "gift"), 0, False),
    (
        one("{webhook: hook, body: {lines: [{n: 1}]}}"),
        ("steps", 1, "body", "lines"),
        [{"n": 1}],
        [{"n": 1, "q": 2}, {"n": 2, "q": 1}],
    ),
    (one("{webhook: hook, body: {lines: [{}, {q: 9}]}}"), ("steps", 1, "body", "lines", 1, "q"), 9, 1),
    (one("{webhook: hook, body: {no: 1}}"), ("steps", 1, "body", "no"), 1, MISSING),
    (one("{webhook: form, body_is: {tag: [a, b]}}"), ("steps", 2, "body_is"), MISSING, {"one": "1"}),
    (one("{webhook: hook, headers: {x-shop: rome}}"), ("steps", 1, "headers", "x-shop"), "rome", "paris"),
    (one("{webhook: hook, headers: {x-no: a}}"), ("steps", 1, "headers", "x-no"), "a", MISSING),
    (one("{sms: text, at: 2026-03-03T09:01}"), ("steps", 3, "at"), "2026-03-03 09:01", "2026-03-03 09:00"),
    (one("{sms: text, attempts: 2}"), ("steps", 3, "attempts"), 2, 1),
]


def test_what_is_right_is_not_a_difference(made: Make) -> None:
    cases = made(STEPS, cases_of(RIGHT))
    assert [*zip(RIGHT, differences(cases).values(), strict=True)] == [(expect, []) for expect in RIGHT]


def test_a_difference_has_its_place(made: Make) -> None:
    cases = made(STEPS, cases_of(expect for expect, *_ in WRONG))
    for different, (_, *wrong) in zip(differences(cases).values(), WRONG, strict=True):
        assert [[one.place[1:], one.expected, one.got] for one in different] == [wrong]


def test_a_message_too_many_and_one_that_is_missing(made: Make) -> None:
    cases = made(STEPS, "expect: {steps: [{sms: text}, {email: mail}]}")
    went = "mail (delivered) → wait-2 (waited) → hook (delivered) → form (delivered) → text (delivered)"
    assert [(found.place, found.what, found.got) for found in differences(cases)["one"]] == [
        (("expect", "steps", 1), "this step is missing here", went),
        (("expect", "steps"), "email mail is sent and not expected here", went),
        (("expect", "steps"), "webhook hook is sent and not expected here", went),
        (("expect", "steps"), "webhook form is sent and not expected here", went),
    ]


def test_who_is_refused_unexpectedly(made: Make) -> None:
    head = "trigger: birthday\nentry: {if: contact.firstname != blank}"
    cases = made("- {sms: text, text: x}", "expect: {ends: finished}", head=head)
    (found,) = differences(cases)["one"]
    assert found.got == "refused: the entry rule of s does not hold: contact.firstname != blank"
