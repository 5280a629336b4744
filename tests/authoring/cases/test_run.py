"""Cases do what they expect, and all that is not as expected is found.

`tests/e2e/test_cases.py` also runs each of `steps.yaml` as a journey on a server.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from authoring.cases.compare import MISSING
from scenario.source.source import Source
from scenario.steps.registry import KINDS
from tests.authoring.cases.conftest import TOP, Make, differences

HOOK = """
- webhook: hook
  url: https://h.example/
  body: {}
  retry: {initial_interval: 10s, backoff_coefficient: 2, deadline: 1h}
"""
CASES = {
    name: (json.dumps(case.pop("steps")), json.dumps(case))
    for name, case in Source(Path(__file__).with_name("steps.yaml").read_text("utf-8")).data.items()
}
"""The steps and the case of each small scenario in `steps.yaml`, in JSON, which is YAML."""
HEAD = "trigger: birthday\nexit: [{event: stop, if: event.n == 2}]\n"


@pytest.mark.parametrize("name", CASES)
def test_all_is_as_expected(made: Make, name: str):
    steps, case = CASES[name]
    cases = made(steps, case, head=HEAD)
    assert differences(cases) == {"one": []}


@pytest.mark.parametrize("top", ["", "dates: mdy\n"])
def test_dates_of_the_platform_are_read_in_the_given_order(made: Make, top: str):
    steps = (
        "- wait: {until: '{{ contact.custom.d }} 10:00'}\n- sms: s\n  text: \"{{ contact.custom.d | date: '%d %b' }}\""
    )
    with_date = "with: {contact: {custom: {d: 04/03/2026}}}\n"
    case = f"{with_date}dates: dmy\nexpect: {{steps: [{{sms: s, text: 04 Mar, at: '2026-03-04T10:00'}}]}}\n"
    cases = made(steps, case, top=top + TOP.lstrip())
    assert differences(cases) == {"one": []}
    other = f"{with_date}expect: {{steps: [{{sms: s, text: 03 Apr, at: '2026-04-03T10:00'}}]}}\n"
    found = differences(made(steps, other, top=top + TOP.lstrip()))["one"]
    assert (found == []) == bool(top)


def test_every_kind_of_step_has_a_case():
    written = " ".join(steps for steps, _ in CASES.values())
    assert [kind for kind in KINDS if f'"{kind}": ' not in written] == []


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ("{after: 1h, retry: wait-1}", "nothing to retry: the journey is not held"),
        ("{after: 1h, resume: x}", "the journey is not paused"),
        ("{after: 1h, skip: exit-2}", "the journey is not at step 'exit-2', but at 'wait-1'"),
        ("{after: 5d, leave: x}", "the journey is over"),
        ("{at: 2026-03-02T08:59, leave: x}", "this is before the contact comes in"),
    ],
)
def test_an_operation_that_is_not_accepted_fails_the_case(made: Make, operation: str, why: str):
    cases = made("- {wait: 2d}\n- {exit: done}", f"operations: [{operation}]\nexpect: {{ends: exited}}")
    (found,) = differences(cases)["one"]
    assert (found.place, found.got) == (("operations", 0), why)


def test_a_delivery_without_an_end_is_told(made: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("authoring.cases.run._MOST", 1_000)
    steps = HOOK.replace("10s", "0.1s").replace("2, deadline: 1h", "1, deadline: 9d")
    cases = made(steps, "answers: {hook: [{status: 503, times: always}]}\nexpect: {ends: held}")
    (found,) = differences(cases)["one"]
    assert found.got.startswith("step 'hook' is attempted more than 1,000 times")


def test_what_expires_between_two_attempts_gives_its_place_back(made: Make, tmp_path: Path):
    (tmp_path / "policies.yaml").write_text("caps: [{name: one, channels: [webhook], at_most: 1, per: 7d}]\n", "utf-8")
    cases = made(
        HOOK.rstrip() + "\n  expires: 5m\n" + HOOK.strip().replace(": hook", ": second"),
        """
        answers: {hook: [{status: 503, times: always}]}
        expect:
          steps:
            - {webhook: hook, outcome: skipped, reason: {contains: expired}}
            - {webhook: second, outcome: delivered}
        """,
        top="policies: policies.yaml\n" + TOP.strip(),
    )
    assert differences(cases) == {"one": []}


BATCH = """
- webhook: crm
  url: https://crm.example/people
  batch: {size: 9, within: 10m, wait: WAIT, results: {list: results, id: id, status: code, reason: why}}
  body: {ids: {$for: person in contacts, $each: "{{ person.contact.id }}"}}
- exit: done
"""


@pytest.mark.parametrize(
    ("wait", "answers", "steps"),
    [
        ("false", "[{status: 500, times: always}]", "[{webhook: crm, outcome: batched, at: '2026-03-02 09:00'}]"),
        (
            "true",
            "[{status: 503}, {status: 207, body: {results: [{id: '7', code: 429}]}}, "
            "{status: 207, body: {results: [{id: '7', code: 200}]}}]",
            "[{webhook: crm, outcome: delivered, attempts: 3, at: '2026-03-02 09:10', status: 207}]",
        ),
        (
            "true",
            "[{status: 207, body: {results: [{id: '7', code: 404, why: no such person}]}}]",
            "[{webhook: crm, outcome: held, status: 207, reason: \"crm.example refused this contact's item of a batch: "
            'no such person"}]',
        ),
        ("true", "[{status: 200, body: hello}]", "[{webhook: crm, outcome: held}]"),
    ],
)
def test_a_contact_alone_in_its_batch_waits_for_the_receivers_word_about_it(
    made: Make, wait: str, answers: str, steps: str
):
    ends = "held" if "held" in steps else "exited"
    cases = made(
        BATCH.replace("WAIT", wait),
        f"answers: {{crm: {answers}}}\nexpect: {{steps: {steps}, ends: {ends}}}",
    )
    assert differences(cases) == {"one": []}


MESSAGES = """
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
LINES = [{"n": 1, "q": 2}, {"n": 2, "q": 1}]
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
    (one("{webhook: hook, body: {lines: [{n: 1}]}}"), ("steps", 1, "body", "lines"), [{"n": 1}], LINES),
    (one("{webhook: hook, body: {lines: [{}, {q: 9}]}}"), ("steps", 1, "body", "lines", 1, "q"), 9, 1),
    (one("{webhook: hook, body: {no: 1}}"), ("steps", 1, "body", "no"), 1, MISSING),
    (one("{webhook: form, body_is: {tag: [a, b]}}"), ("steps", 2, "body_is"), MISSING, {"one": "1"}),
    (one("{webhook: hook, headers: {x-shop: rome}}"), ("steps", 1, "headers", "x-shop"), "rome", "paris"),
    (one("{webhook: hook, headers: {x-no: a}}"), ("steps", 1, "headers", "x-no"), "a", MISSING),
    (one("{sms: text, at: 2026-03-03T09:01}"), ("steps", 3, "at"), "2026-03-03 09:01", "2026-03-03 09:00"),
    (one("{sms: text, attempts: 2}"), ("steps", 3, "attempts"), 2, 1),
]


def test_what_is_right_is_not_a_difference(made: Make):
    cases = made(MESSAGES, cases_of(RIGHT))
    assert [*zip(RIGHT, differences(cases).values(), strict=True)] == [(expect, []) for expect in RIGHT]


def test_a_difference_has_its_place(made: Make):
    cases = made(MESSAGES, cases_of(expect for expect, *_ in WRONG))
    for different, (_, *wrong) in zip(differences(cases).values(), WRONG, strict=True):
        assert [[one.place[1:], one.expected, one.got] for one in different] == [wrong]


def test_a_message_too_many_and_one_that_is_missing(made: Make):
    cases = made(MESSAGES, "expect: {steps: [{sms: text}, {email: mail}]}")
    went = "mail (delivered) → wait-2 (waited) → hook (delivered) → form (delivered) → text (delivered)"
    assert [(found.place, found.what, found.got) for found in differences(cases)["one"]] == [
        (("expect", "steps", 1), "this step is missing here", went),
        (("expect", "steps"), "email mail is sent and not expected here", went),
        (("expect", "steps"), "webhook hook is sent and not expected here", went),
        (("expect", "steps"), "webhook form is sent and not expected here", went),
    ]


def test_who_is_refused_unexpectedly(made: Make):
    head = "trigger: birthday\nentry: {if: contact.firstname != blank}"
    cases = made("- {sms: text, text: x}", "expect: {ends: finished}", head=head)
    (found,) = differences(cases)["one"]
    assert found.got == "refused: the entry rule of s does not hold: contact.firstname != blank"
