"""Campaigns from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.gateway.cli.conftest import Run

SCENARIO = "scenario: sale\ntrigger: segment\nsteps:\n  - sms: hello\n    text: Hello\n"


def written(folder: Path, people: str) -> tuple[str, str]:
    (folder / "sale.yaml").write_text(SCENARIO)
    (folder / "people.csv").write_text(people)
    return str(folder / "sale.yaml"), str(folder / "people.csv")


def test_a_survey_is_text_for_people(run: Run, tmp_path: Path):
    file, people = written(tmp_path, "contact.id;contact.emial\n1;a\n2;b\n1;c\n;d\n")
    ran = run("campaign", "check", file, "--audience", people)
    assert (ran.status, ran.out.splitlines()[:-1]) == (
        1,
        [
            f"{people}: CSV in utf-8, separated by semicolons",
            "columns: contact.id, contact.emial",
            "2 of 4 lines can enter sale",
            "duplicates, which are skipped: 1",
            "invalid lines: 1",
            "  line 5: the contact has no id: give 'contact.id'",
        ],
    )
    assert ran.out.splitlines()[-1].startswith("SHA-256 ")
    assert ran.err == "scenario: 'contact.emial' is no known field of a contact, and can be used as it is written\n"


def test_a_survey_is_json_for_programs(run: Run, tmp_path: Path):
    file, people = written(tmp_path, "contact.id\n1\n2\n")
    ran = run("campaign", "check", file, "--audience", people, "--format", "json")
    found = json.loads(ran.out)
    assert (ran.status, found["lines"], found["entries"], found["invalid_lines"]) == (0, 2, 2, [])


def test_a_table_becomes_entries_that_can_be_entered(run: Run, tmp_path: Path):
    file, people = written(tmp_path, "contact.id,custom.city\n1,Orléans\n2,\n")
    entries = tmp_path / "entries.jsonl"
    ran = run("campaign", "check", file, "--audience", people, "--name", "advent", "--write", str(entries))
    assert ran.status == 0
    same = {"scenario": "sale", "key": "advent", "trigger": {"type": "segment"}}
    assert [json.loads(line) for line in entries.read_text("utf-8").splitlines()] == [
        {**same, "contact": {"id": "1", "custom": {"city": "Orléans"}}},
        {**same, "contact": {"id": "2"}},
    ]


def test_enter_says_what_to_do_with_a_table(run: Run):
    ran = run("enter", "people.csv")
    assert ran.status == 2
    assert "'scenario campaign check SCENARIO --audience people.csv --write ENTRIES.jsonl'" in " ".join(ran.err.split())
