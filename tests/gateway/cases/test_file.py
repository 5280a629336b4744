"""Mistakes in a case file are told at their line and column."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from gateway.cases.file import case_files, patched, read
from gateway.cases.model import schema
from gateway.errors import BadInput
from tests.gateway.cases.conftest import TOP, Written

STEPS = "- {sms: hi, text: hello}\n- {webhook: hook, url: 'https://h.example/'}\n- {wait_for: stop, for: 1d}"
GOOD = "expect: {ends: finished}"
LINE = TOP.strip().count("\n") + 3
"""Of a case's first key."""


@pytest.mark.parametrize(
    ("case", "place", "message"),
    [
        ("expects: {}", (0, 5), "unknown key 'expects': did you mean 'expect'?"),
        ("expect: {ends: finish}", (0, 20), "'finish' is not allowed in 'ends': did you mean 'finished'?"),
        ("expect: {}", (0, 13), "a case needs an expectation: steps, ends, never or refused"),
        (
            "expect: {refused: x, ends: held}",
            (0, 13),
            "a contact that is refused takes no steps: write 'refused' alone",
        ),
        (
            "expect: {steps: [{sms: hi, text: {contians: x}}]}",
            (0, 39),
            "unknown key 'contians': did you mean 'contains'?",
        ),
        ("expect: {steps: [{sms: hi, text: {matches: '('}}]}", (0, 48), "'(' is not a regular expression: "),
        ("expect: {steps: [{outcome: waited}]}", (0, 22), "an expected step has one kind, with the step's id"),
        ("expect: {steps: [{sms: hock}]}", (0, 28), "there is no step 'hock': did you mean 'hook'?"),
        ("expect: {steps: [{email: hi}]}", (0, 23), "step 'hi' is of the kind 'sms': write 'sms: hi'"),
        ("expect: {steps: [{sms: hi, at: noon}]}", (0, 36), "'noon' is not a date and time: write 2026-03-02T09:00"),
        ("expect: {steps: [{sms: hi, text: }]}", (0, 32), "'text' is empty: give it a value, or remove it"),
        ("entry: {}", (0, 12), "an entry is an object with 'scenario', 'contact' and 'trigger'"),
        ("expect: {steps: [{sms: hi, subject: 7}]}", (0, 41), "'subject' must be text: put '7' in quotes"),
        ("expect: {never: [hock]}", (0, 22), "the scenario has no step and no kind of step 'hock': did you mean"),
        ("answers: {hock: [{}]}", (0, 15), "no step 'hock' sends anything: did you mean 'hook'?"),
        ("answers: {wait_for-3: [{}]}", (0, 15), "no step 'wait_for-3' sends anything: there is hi and hook"),
        ("answers: {hook: [{error: conect_refused}]}", (0, 30), "did you mean 'connect_refused'?"),
        ("answers: {hi: [{error: x}]}", (0, 28), "'x' is not an error of the channel sms: write connect_failed, "),
        ("answers: {hi: {status: 200}}", (0, 19), "'hi' must be a list: begin each of its entries with '- '"),
        ("events: [{name: stop}]", (0, 14), "say when: 'after' a time since the contact came in, or 'at' a moment"),
        (
            "events: [{after: 2d, name: stopp}]",
            (0, 32),
            "no step and no exit rule waits for 'stopp': did you mean 'stop'?",
        ),
        ("operations: [{after: 2d}]", (0, 18), "an operation is one of retry, skip, leave, pause or resume"),
        ("operations: [{after: 2d, retry: hock}]", (0, 37), "there is no step 'hock': did you mean 'hook'?"),
        ("entry: nowhere.json", (0, 12), "'nowhere.json' cannot be read: give the path from this file's folder"),
    ],
)
def test_a_mistake_in_a_case(written: Written, case: str, place: tuple[int, int], message: str) -> None:
    cases, findings = read(written(STEPS, case))
    assert cases is None
    told = next((finding for finding in findings if message in finding.message), None)
    assert told is not None, [str(finding) for finding in findings]
    assert (told.line - LINE, told.column) == place


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
def test_a_mistake_at_the_top(written: Written, top: str, message: str) -> None:
    cases, findings = read(written(STEPS, GOOD, top=top))
    assert cases is None
    assert any(message in finding.message for finding in findings), findings


def test_what_is_wrong_with_the_scenario_is_told(written: Written) -> None:
    cases, findings = read(written("- {smss: hi, text: hello}", GOOD))
    assert cases is None
    assert "s.yaml" in findings[0].file
    assert "did you mean 'sms'?" in findings[0].message


def test_a_path_stands_for_case_files(tmp_path: Path) -> None:
    for name in ("a.yaml", "a.test.yaml", "b.yaml", "in/c.test.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    one, inner = tmp_path / "a.test.yaml", tmp_path / "in" / "c.test.yaml"
    assert case_files(tmp_path) == [one, inner]
    assert case_files(tmp_path / "a.yaml") == case_files(one) == [one]
    with pytest.raises(BadInput, match=r"b\.yaml has no cases: write them in b\.test\.yaml beside it"):
        case_files(tmp_path / "b.yaml")


def test_an_entry_is_changed_in_part() -> None:
    fields = [{"name": "vip", "value": "1"}, {"name": "store", "value": "x"}]
    entry = {"contact": {"id": 1, "email": "a", "custom_fields": fields}}
    change = {"contact": {"email": None, "custom_fields": {"vip": "0"}}}
    assert patched(entry, change) == {"contact": {"id": 1, "custom_fields": {"vip": "0", "store": "x"}}}


@pytest.mark.parametrize(
    "cases", [{}, {"a": {"expcet": {}}}, {"a": {"events": [{"name": 7}]}}], ids=["none", "a key", "a value"]
)
def test_the_schema_refuses_mistakes(cases: Any) -> None:
    assert not Draft202012Validator(schema()).is_valid({"cases": cases})
