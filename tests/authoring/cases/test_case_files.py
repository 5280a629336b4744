"""Mistakes in a case file are told at their place; results are written into it, and the rest of it stays."""

import json
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from authoring.cases.file import case_files, parsed, patched, read
from authoring.cases.model import schema
from authoring.cases.update import updated
from authoring.errors import BadInput
from scenario.source.source import Source
from tests.authoring.cases.conftest import AROUND, TOP, Make, Written, differences

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
def test_an_update(made: Make, update: dict[str, str]):
    cases = made(STEPS, update["before"])
    changed = updated(cases, ["one"], AROUND)
    assert changed is not None
    assert differences(changed) == {"one": []}
    if "after" in update:
        assert changed.source.text == f"{TOP.strip()}\n  one:\n{indent(update['after'].strip(), '    ')}\n"


@pytest.mark.parametrize("name", ["a ", "a\n  b \n\nc", "a\x7f\x80b", "\u2028", "- a", "<<", "x: |", "\u200b"])
def test_texts_of_all_kinds(made: Make, name: str):
    for text in ("x", "|\n      x\n"):
        case = f"expect:\n  steps:\n  - sms: first\n    text: {text}\n  - webhook: second\n    body: {{n: x}}"
        top = TOP.replace("id: 7", f"id: 7, firstname: {json.dumps(name)}")
        told = STEPS.replace("contact.id }}:", "contact.firstname }}:").replace("contact.id", "contact.firstname")
        cases = made(told, case, top=top)
        changed = updated(cases, ["one"], AROUND)
        assert changed is not None
        assert differences(changed) == {"one": []}


def test_what_cases_share_by_an_alias(made: Make):
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


def test_who_is_refused_now(made: Make):
    head = "trigger: birthday\nentry: {if: \"contact.id == '8'\"}"
    for before in ("expect: {ends: finished}", "expect:\n  refused: something else\n"):
        cases = made(STEPS, before, head=head)
        changed = updated(cases, ["one"], AROUND)
        assert changed is not None
        assert differences(changed) == {"one": []}


def test_why_a_step_was_skipped_is_written_and_what_is_forbidden_is_left_as_it_is(made: Make):
    changed = updated(made("- sms: first\n  text: \"{% abort 'nothing to say' %}\"\n", "events: []"), ["one"], AROUND)
    assert changed is not None
    assert changed.source.data["cases"]["one"]["expect"]["steps"][0]["reason"] == "nothing to say"
    assert updated(made(STEPS, "expect: {never: [sms]}"), ["one"], AROUND) is None


THREE = "- {sms: hi, text: hello}\n- {webhook: hook, url: 'https://h.example/'}\n- {wait_for: stop, for: 1d}"
GOOD = "expect: {ends: finished}"
LINE = TOP.strip().count("\n") + 3
"""Of a case's first key."""
LINES = Path(__file__).with_name("mistakes.txt").read_text("utf-8").splitlines()
MISTAKES = dict(zip(LINES[::2], LINES[1::2], strict=True))
"""Cases with a mistake: where it is, counted from the first line of the case, and what is said."""


@pytest.mark.parametrize(("case", "said"), MISTAKES.items(), ids=[*MISTAKES])
def test_a_mistake_in_a_case(written: Written, case: str, said: str):
    cases, findings = read(written(THREE, case))
    assert cases is None
    told = [f"{finding.line - LINE}:{finding.column}: {finding.message}" for finding in findings]
    place, message = said.split(" ", 1)
    assert [one for one in told if one.startswith(f"{place} ") and message in one], told


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ("cases:", "'entry' is missing, here or at the top of the file"),
        (TOP.replace("at: 2026-03-02T09:00", ""), "'at' is missing, here or at the top of the file"),
        ("scenario: other.yaml\n" + TOP, "other.yaml cannot be read: no such file or directory"),
        ("destinations: other.yaml\n" + TOP, "name the destinations' file under 'destinations'"),
        ("scenaro: s.yaml\n" + TOP, "unknown key 'scenaro': did you mean 'scenario'?"),
        ("answers: {hock: [{}]}\n" + TOP, "no step 'hock' sends anything: did you mean 'hook'?"),
    ],
)
def test_a_mistake_at_the_top(written: Written, top: str, message: str):
    cases, findings = read(written(THREE, GOOD, top=top))
    assert cases is None
    assert any(message in finding.message for finding in findings), findings


def test_what_is_wrong_with_the_scenario_is_told(written: Written):
    cases, findings = read(written("- {smss: hi, text: hello}", GOOD))
    assert cases is None
    assert "s.yaml" in findings[0].file
    assert "did you mean 'sms'?" in findings[0].message


def test_a_path_stands_for_case_files(tmp_path: Path):
    for name in ("a.yaml", "a.test.yaml", "b.yaml", "in/c.test.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    one, inner = tmp_path / "a.test.yaml", tmp_path / "in" / "c.test.yaml"
    assert case_files(tmp_path) == [one, inner]
    assert case_files(tmp_path / "a.yaml") == case_files(one) == [one]
    with pytest.raises(BadInput, match=r"b\.yaml has no cases: write them in b\.test\.yaml beside it"):
        case_files(tmp_path / "b.yaml")


def test_an_entry_is_changed_in_part():
    fields = [{"name": "vip", "value": "1"}, {"name": "store", "value": "x"}]
    entry = {"contact": {"id": 1, "email": "a", "custom_fields": fields}}
    change = {"contact": {"email": None, "custom_fields": {"vip": "0"}}}
    assert patched(entry, change) == {"contact": {"id": 1, "custom_fields": {"vip": "0", "store": "x"}}}


@pytest.mark.parametrize(
    "cases", [{}, {"a": {"expcet": {}}}, {"a": {"events": [{"name": 7}]}}], ids=["none", "a key", "a value"]
)
def test_the_schema_refuses_mistakes(cases: Any):
    assert not Draft202012Validator(schema()).is_valid({"cases": cases})
