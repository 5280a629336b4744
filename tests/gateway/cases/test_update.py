"""What is got is written into the file, and all the rest of the file stays."""

from __future__ import annotations

import json
from textwrap import dedent, indent

import pytest

from gateway.cases.file import parsed
from gateway.cases.update import updated
from tests.gateway.cases.conftest import AROUND, TOP, Read, differences

STEPS = """
- sms: first
  text: |
    Hello {{ contact.id }}:
    all is well
- wait: 1d
- webhook: second
  url: https://h.example/
  body: {n: "{{ contact.id }}", tags: [a, "b: c"], note: "x # y"}
"""
FIRST = 'sms: first, to: "+33612345678", text: {contains: all is well}'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (  # values where they stand
            """
            # why this case
            expect:
              ends: held   # for now
              steps:
                - {sms: first, text: "Hello 8"}   # the first
                - webhook: second
                  at: 2026-03-02 10:00
                  attempts: 2
                  body: {tags: [a], n: "8"}
            """,
            """
            # why this case
            expect:
              ends: finished   # for now
              steps:
                - {sms: first, text: "Hello 7:\\nall is well"}   # the first
                - webhook: second
                  at: 2026-03-03 09:00
                  attempts: 1
                  body: {tags: ["a", "b: c"], n: "7"}
            """,
        ),
        (  # a text in lines of its own
            """
            expect:
              steps:
                - sms: first
                  text: |
                    Hello
                    you
                - webhook: second
            """,
            """
            expect:
              steps:
                - sms: first
                  text: |
                    Hello 7:
                    all is well
                - webhook: second
            """,
        ),
        (  # steps that were missing
            """
            expect:
              steps: []
              ends: finished
            # the end
            """,
            """
            expect:
              steps:
                - sms: first
                  outcome: delivered
                  at: 2026-03-02 09:00
                  to: "+33612345678"
                  text: |
                    Hello 7:
                    all is well
                - webhook: second
                  outcome: delivered
                  at: 2026-03-03 09:00
                  method: POST
                  url: https://h.example/
                  body:
                    n: "7"
                    tags:
                      - a
                      - "b: c"
                    note: "x # y"
              ends: finished
            # the end
            """,
        ),
        (  # a step too many, a key too many
            """
            expect:
              steps:
                - sms: first
                  subject: none
                  attempts: 3
                - sms: first
                - webhook: second
              ends: finished
            """,
            """
            expect:
              steps:
                - sms: first
                  attempts: 1
                - webhook: second
              ends: finished
            """,
        ),
        ("events: []", None),  # nothing was expected
        (  # flow style
            "expect: {steps: [{sms: first}], ends: held}",
            "expect: {steps: "
            '[{"sms": "first"}, {"webhook": "second", "outcome": "delivered", "at": "2026-03-03 09:00", '
            '"method": "POST", "url": "https://h.example/", '
            '"body": {"n": "7", "tags": ["a", "b: c"], "note": "x # y"}}], ends: finished}',
        ),
        ("{events: []}", None),
        ("{with: {contact: {id: 9}}, expect: {refused: because}}", None),
        (  # a list no further in than its key, less than the whole body
            """
            expect:
              steps:
                - sms: first
                - webhook: second
                  body:
                    tags:
                    - a # one
                  body_is:
                    n: "7"
            """,
            None,
        ),
        ("expect:\n  steps:\n  - sms: first\n  - webhook: second\n    body_is:\n", None),
        ("expect: {refused: because}", None),
        ("expect: {refused: {contains: because}, }", None),
    ],
)
def test_an_update(reading: Read, before: str, after: str | None) -> None:
    cases, findings = reading(STEPS, before)
    assert cases is not None, findings
    changed = updated(cases, ["one"], AROUND)
    assert changed is not None
    assert differences(changed) == {"one": []}
    if after is not None:
        assert changed.source.text == f"{TOP.strip()}\n  one:\n{indent(dedent(after).strip(), '    ')}\n"


@pytest.mark.parametrize("name", ["a ", "a\n  b \n\nc", "a\x7f\x80b", "\u2028", "- a", "<<", "x: |", "\u200b"])
def test_texts_of_all_kinds(reading: Read, name: str) -> None:
    for text in ("x", "|\n      x\n"):
        case = f"expect:\n  steps:\n  - sms: first\n    text: {text}\n  - webhook: second\n    body: {{n: x}}"
        top = TOP.replace("id: 7", f"id: 7, firstname: {json.dumps(name)}")
        told = STEPS.replace("contact.id }}:", "contact.firstname }}:").replace("contact.id", "contact.firstname")
        cases, findings = reading(told, case, top=top)
        assert cases is not None, findings
        changed = updated(cases, ["one"], AROUND)
        assert changed is not None
        assert differences(changed) == {"one": []}


def test_what_cases_share_by_an_alias(reading: Read) -> None:
    shared = """
    expect: &shared
      steps:
        - {sms: first, text: Hello 8}
        - {webhook: second, attempts: 9}
    """
    for more in ("", "{contact: {id: 9}}"):
        cases, findings = reading(STEPS, shared)
        assert cases is not None, findings
        text = f"{cases.source.text}\n  two:\n    with: {more or '{}'}\n    expect: *shared\n"
        cases, findings = parsed(text, cases.path)
        assert cases is not None, findings
        changed = updated(cases, ["one", "two"], AROUND)
        assert changed is not None
        steps = changed.source.data["cases"]["two"]["expect"]["steps"]
        assert steps[1] == {"webhook": "second", "attempts": 1}
        # What cannot be for both is left as it is, and an update changes nothing more.
        assert steps[0]["text"] == ("Hello 8" if more else "Hello 7:\nall is well")
        assert updated(changed, [name for name, found in differences(changed).items() if found], AROUND) is None


def test_who_is_refused_now(reading: Read) -> None:
    head = "trigger: birthday\nentry: {if: \"contact.id == '8'\"}"
    for before in ("expect: {ends: finished}", "expect:\n  refused: something else\n"):
        cases, _ = reading(STEPS, before, head=head)
        assert cases is not None
        changed = updated(cases, ["one"], AROUND)
        assert changed is not None
        assert differences(changed) == {"one": []}


def test_why_a_step_was_skipped_is_written(reading: Read) -> None:
    steps = "- sms: first\n  text: \"{% abort 'nothing to say' %}\"\n"
    cases, _ = reading(steps, "events: []")
    assert cases is not None
    changed = updated(cases, ["one"], AROUND)
    assert changed is not None
    assert changed.source.data["cases"]["one"]["expect"]["steps"][0]["reason"] == "nothing to say"


def test_what_is_forbidden_is_left_as_it_is(reading: Read) -> None:
    cases, _ = reading(STEPS, "expect: {never: [sms]}")
    assert cases is not None
    assert updated(cases, ["one"], AROUND) is None
