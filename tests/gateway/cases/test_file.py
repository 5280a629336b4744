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
LINES = Path(__file__).with_name("mistakes.txt").read_text("utf-8").splitlines()
MISTAKES = dict(zip(LINES[::2], LINES[1::2], strict=True))
"""Cases with a mistake: where it is, counted from the first line of the case, and what is said."""


@pytest.mark.parametrize(("case", "said"), MISTAKES.items(), ids=[*MISTAKES])
def test_a_mistake_in_a_case(written: Written, case: str, said: str) -> None:
    cases, findings = read(written(STEPS, case))
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
