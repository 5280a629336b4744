"""Scenario files: their templates are converted in place, and nothing else changes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenario.check.check import check
from scenario.extensions import load_extensions
from scenario.source.source import Source
from splio.fields import CustomFieldNames
from splio.scenario_file import convert_scenario, is_scenario
from splio.writer import convert

OLD, NEW = (Path(__file__).with_name(name).read_text("utf-8") for name in ("old.yaml", "new.yaml"))


def test_templates_are_converted_where_they_stand() -> None:
    made = convert_scenario(OLD, CustomFieldNames({"": {1: "shoe"}}))
    assert (made.text, made.unconverted, made.notes) == (NEW, (), ())
    assert [finding.code for finding in check(made.text).findings] == ["no-unsubscribe"]
    assert convert_scenario(NEW).text == NEW


def test_what_is_left_has_its_place_in_the_file() -> None:
    text = """\
scenario: a
trigger: order
steps:
  - email: hello
    subject: $shoe$
    html: |
      <p>
      Hi $fistname$
      {SPLIO IF $email$}
    text: {file: mails/a.txt}
  - if: $email$ NOT LIKE "x_y"
    then: [{exit: x}]
  - webhook: a
    url: https://x.example
    body: {"$email$": 1}
"""
    made = convert_scenario(text)
    assert [f"{left.line}:{left.column}: {left.message}" for left in made.unconverted] == [
        "5:14: $shoe$ is not known: if it is a custom field, write {{ contact.custom.shoe }}, or give --sample",
        "8:10: $fistname$ is not known: was $firstname$ meant?",
        "9:7: IF is not closed: ENDIF is missing",
        "11:9: LIKE supports '%' only at the start and the end, and no '_'",
        "15:12: a key with the old syntax is not converted: write it in Liquid",
    ]
    assert made.notes == ("mails/a.txt is a separate file: convert it, too",)
    assert sum("not_converted" in line for line in made.text.splitlines()) == 3
    assert "{{ not_converted['SPLIO IF $email$'] }}{% endif %}\n    text:" in made.text


@pytest.mark.parametrize(
    ("text", "scenario"),
    [
        ("scenario: a\n", True), ("trigger: order\nscenario: a\nsteps: [\n", True),
        ("Hello\nscenario: a\n", True),  # no YAML, but it was meant to be
        ("<p>$firstname$</p>", False), ('{"scenario": "a"}', False), ("", False), ("- scenario: a\n", False),
    ],
)  # fmt: skip
def test_a_scenario_is_told_from_a_template(text: str, scenario: bool) -> None:
    assert is_scenario(text) is scenario


def test_a_file_that_is_no_yaml_is_left_alone() -> None:
    text = "scenario: a\nsteps: [\n"
    made = convert_scenario(text)
    assert made.text == text
    assert [(left.line, left.message[:23]) for left in made.unconverted] == [(3, "the file cannot be read")]


templates = st.lists(
    st.sampled_from(
        ["$firstname$", "$x$", "{SPLIO IF $c1$ > 3}", "{SPLIO ENDIF}", "{SPLIO IF ", "{{ a }}", "{% if a %}"]
    )
    | st.sampled_from([*"'\"\\\n é\u2028-\t{$", "# ", ": ", "  a"]),
    max_size=8,
).map("".join)
STYLES = ["|", "|-", ">", '"', "'"]


def written(text: str, style: str) -> str:
    """A text in one of YAML's styles."""
    if style in ("|", "|-", ">"):
        return f"{style}2\n" + "".join(f"      {line}\n" for line in text.split("\n"))
    if style == '"':
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"\n'
    return "'" + text.replace("'", "''").replace("\n", "\n\n      ") + "'\n"


@given(templates, st.sampled_from(STYLES))
@settings(max_examples=80)
def test_whatever_its_style_a_template_becomes_what_it_becomes_alone(text: str, style: str) -> None:
    file = f"scenario: a\ntrigger: order\nsteps:\n  - sms: a\n    text: {written(text, style)}    id: b\n"
    data = Source(file).data
    if data is None or not isinstance(data["steps"][0]["text"], str):
        return  # this style cannot hold this text
    old = data["steps"][0]["text"]
    made = convert_scenario(file)
    assert not any("cannot be written" in left.message for left in made.unconverted), file
    after = Source(made.text).data
    assert after["steps"][0]["id"] == "b"
    if made.text == file:
        return
    alone = convert(old, keep_liquid=True)
    assert after["steps"][0]["text"] == alone.text
    assert [left.message for left in made.unconverted] == [left.message for left in alone.unconverted]


def test_a_condition_is_one_expression_in_the_quotes_that_yaml_wants() -> None:
    old = """- if: '$email$ LIKE "%y" OR $c1$ > 3 AND NOT $firstname$ = "a"'\n  then: [{exit: x}]\n"""
    made = convert_scenario(f"scenario: a\ntrigger: order\nsteps:\n{old}")
    assert made.text.splitlines()[3] == (
        "- if: 'contact.email | slice: -1, 1 == ''y'' or (contact.custom.c1 | plus: 0 > 3 "
        "and not (contact.firstname == ''a''))'"
    )
    assert check(made.text).findings == ()


# ---- the core works, and imports nothing of the package, if the package is not installed


ROOT = Path(__file__).parents[2]
RUN = """
import sys


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "splio":
            raise ModuleNotFoundError("No module named 'splio'", name=name)


sys.meta_path.insert(0, Absent())
import io, json
from contextlib import redirect_stderr, redirect_stdout
import worker
from cli import program

for line in sys.stdin:
    output = io.StringIO()
    with redirect_stdout(output), redirect_stderr(output):
        status = program.run(json.loads(line))
    print(json.dumps([status, output.getvalue()]))
"""


def test_the_core_works_without_the_package() -> None:
    cases = [
        (("check", "examples/post-purchase.yaml"), 0, ""),
        (("test", "examples/post-purchase.yaml", "--case", "twice"), 0, "✓ WhatsApp is down twice"),  # runs a journey
        (("convert", "-"), 2, "no such command 'convert'"),
        (("destinations", "deploy/destinations.example.yaml"), 1, "needs the package of a platform"),
    ]
    lines = "".join(f"{json.dumps(arguments)}\n" for arguments, _, _ in cases)
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, cwd=ROOT, input=lines, capture_output=True, encoding="utf-8", check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(cases), done.stderr
    for (arguments, status, output), (got, said) in zip(cases, found, strict=True):
        assert (got, output in said) == (status, True), (arguments, said)


def test_a_broken_part_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.py").write_text("import does_not_exist\n")
    metadata = tmp_path / "broken-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[scenario_runner.others]\nbroken = broken:check\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ModuleNotFoundError, match="No module named 'does_not_exist'"):
        load_extensions("scenario_runner.others")
