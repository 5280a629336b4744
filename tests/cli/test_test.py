"""The command that runs cases."""

import errno
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Run
from tests.cli.test_printed import CASES, SCENARIO


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    path = tmp_path / "s.test.yaml"
    path.write_text(CASES)
    return path


def test_a_number_is_told_from_a_text_that_spells_it(run: Run, cases: Path):
    webhook = "{webhook: hi, to: crm, body: {id: '{{ contact.id }}'}}"
    cases.with_name("s.yaml").write_text(f"scenario: s\ntrigger: birthday\nsteps:\n  - {webhook}\n")
    expect = "cases: {one: {expect: {steps: [{webhook: hi, body: {id: 7}}]}}}\n"
    cases.write_text(CASES.partition("cases:")[0] + expect)
    assert run("test", "s.yaml").out.splitlines()[-2:] == ["      expected: 7", "      got:      '7'"]


def test_for_programs_and_for_ci(run: Run, cases: Path):
    ran = run("test", cases, "--format", "json")
    one = {"line": 8, "column": 14, "what": "how the journey ends", "expected": "held", "got": "finished"}
    assert (ran.status, ran.json[1]["differences"][0]) == (1, one)
    assert [(case["case"], case["line"], case["passed"]) for case in ran.json] == [
        ("all is well", 5, True),
        ("<wrong> & so on", 7, False),
    ]
    root = junit(run, cases)
    assert (root.attrib["tests"], root.attrib["failures"], root[0].attrib["name"]) == ("2", "1", str(cases))
    failure = root[0][1][0]
    assert (root[0][1].attrib["name"], failure.attrib["message"]) == ("<wrong> & so on", "how the journey ends")
    assert "got:      finished" in (failure.text or "")
    text = cases.read_text().replace(  # what XML cannot hold
        "all is well:", '"\\x01\\uffff":\n    expect: {reason: "\\x02\\ufffe"}\n  all is well:'
    )
    cases.write_text(text)
    (odd, *_) = junit(run, cases)[0]
    assert (odd.attrib["name"], "expected: \ufffd\ufffd" in (odd[0].text or "")) == ("\ufffd\ufffd", True)


def junit(run: Run, cases: Path | str) -> ElementTree.Element:
    ran = run("test", cases, "--format", "junit")
    assert ran.status == 1
    return ElementTree.fromstring(ran.out.partition("?>")[2])


def test_what_only_a_person_can_change(run: Run, cases: Path):
    before = cases.read_text().partition("  all is well:")[0] + "  one: {expect: {never: [sms]}}\n"
    cases.write_text(before)
    ran = run("test", cases, "--update")
    assert f"{cases}: nothing was written: these differences can only be changed by hand" in ran.err
    assert (ran.status, cases.read_text()) == (1, before)


def test_an_update_is_written_and_cases_that_come_to_be_refused_are_counted(run: Run, cases: Path):
    written = f"{cases}: the results were written\n"
    assert run("test", cases, "--update").err == f"{written}2 cases, all as expected\n"
    assert 'text: "Hello\\nyou"' in cases.read_text()
    assert run("test", cases).status == 0
    scenario = cases.with_name("s.yaml")
    scenario.write_text(SCENARIO.replace("steps:", "entry: {if: contact.custom.vip == '1'}\nsteps:"))
    refused = f"{cases}: 2 of 2 cases are refused, and nothing is sent there: all is well, <wrong> & so on\n"
    ran = run("test", cases, "--update")
    assert (ran.status, ran.err) == (0, f"{written}{refused}2 cases, all as expected\n")
    assert "refused" not in run("test", cases, "--update").err


def test_a_file_that_cannot_be_written_stays_as_it_was(
    run: Run, cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before, link = cases.read_text(), tmp_path / "link.test.yaml"
    link.symlink_to(cases)
    (tmp_path / "link.yaml").write_text((tmp_path / cases.name.replace(".test", "")).read_text())
    cases.chmod(0o640)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        ran = run("test", link, "--update")
    assert (ran.status, cases.read_text()) == (1, before)
    assert ran.err.endswith(f"{link} cannot be written: no space left on device\n")
    assert run("test", link, "--update").status == 0
    assert (link.is_symlink(), cases.read_text() != before, cases.stat().st_mode & 0o777) == (True, True, 0o640)
    assert not list(tmp_path.glob(".*"))


def test_a_mistake_is_told_and_the_other_files_are_run(run: Run, cases: Path, tmp_path: Path):
    (tmp_path / "a.test.yaml").write_text("cases: {one: {expct: 1}}")
    ran = run("test", ".", "--case", "well")
    assert ran.status == 1
    assert "a.test.yaml:1:15: error unknown-key: unknown key 'expct': did you mean 'expect'?" in ran.err
    assert "✓ all is well" in ran.out
    assert "did you mean 'expect'?" in junit(run, ".")[0][0][0].attrib["message"]
    assert run("test", cases, "--case", "nothing").err == "scenario: no case has 'nothing' in its name\n"


def test_a_case_that_cannot_be_run_fails(run: Run, cases: Path):
    cases.write_text(CASES.replace("id: 7", 'id: ""'))
    ran = run("test", cases)
    assert ran.status == 1
    assert "the contact has no id: give 'contact.id'" in ran.out


def test_check_knows_case_files_and_publish_passes_them_over(run: Run, cases: Path):
    cases.write_text(CASES.replace("expect:", "expct:"))
    assert "s.test.yaml:6:5: error unknown-key" in run("check", "s.yaml", cases).out
    ran = run("publish", "s.yaml", cases)
    assert (ran.status, ran.out) == (0, "s@1\n")
    assert "'scenario test' runs cases" in run("publish", cases).err
