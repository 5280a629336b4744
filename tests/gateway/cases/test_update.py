"""What is got is written into the file, and all the rest of the file stays."""

import json
from pathlib import Path
from textwrap import indent

import pytest

from gateway.cases.file import parsed
from gateway.cases.update import updated
from scenario.source.source import Source
from tests.gateway.cases.conftest import AROUND, TOP, Make, differences

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
UPDATES: dict[str, dict[str, str]] = Source(Path(__file__).with_name("updates.yaml").read_text("utf-8")).data


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
def test_an_update(made: Make, update: dict[str, str]) -> None:
    cases = made(STEPS, update["before"])
    changed = updated(cases, ["one"], AROUND)
    assert changed is not None
    assert differences(changed) == {"one": []}
    if "after" in update:
        assert changed.source.text == f"{TOP.strip()}\n  one:\n{indent(update['after'].strip(), '    ')}\n"


@pytest.mark.parametrize("name", ["a ", "a\n  b \n\nc", "a\x7f\x80b", "\u2028", "- a", "<<", "x: |", "\u200b"])
def test_texts_of_all_kinds(made: Make, name: str) -> None:
    for text in ("x", "|\n      x\n"):
        case = f"expect:\n  steps:\n  - sms: first\n    text: {text}\n  - webhook: second\n    body: {{n: x}}"
        top = TOP.replace("id: 7", f"id: 7, firstname: {json.dumps(name)}")
        told = STEPS.replace("contact.id }}:", "contact.firstname }}:").replace("contact.id", "contact.firstname")
        cases = made(told, case, top=top)
        changed = updated(cases, ["one"], AROUND)
        assert changed is not None
        assert differences(changed) == {"one": []}


def test_what_cases_share_by_an_alias(made: Make) -> None:
    shared = """
    expect: &shared
      steps:
        - {sms: first, text: Hello 8}
        - {webhook: second, attempts: 9}
    """
    for more in ("", "{contact: {id: 9}}"):
        cases = made(STEPS, shared)
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


def test_who_is_refused_now(made: Make) -> None:
    head = "trigger: birthday\nentry: {if: \"contact.id == '8'\"}"
    for before in ("expect: {ends: finished}", "expect:\n  refused: something else\n"):
        cases = made(STEPS, before, head=head)
        changed = updated(cases, ["one"], AROUND)
        assert changed is not None
        assert differences(changed) == {"one": []}


def test_why_a_step_was_skipped_is_written_and_what_is_forbidden_is_left_as_it_is(made: Make) -> None:
    changed = updated(made("- sms: first\n  text: \"{% abort 'nothing to say' %}\"\n", "events: []"), ["one"], AROUND)
    assert changed is not None
    assert changed.source.data["cases"]["one"]["expect"]["steps"][0]["reason"] == "nothing to say"
    assert updated(made(STEPS, "expect: {never: [sms]}"), ["one"], AROUND) is None
