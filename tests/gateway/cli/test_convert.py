"""Converting templates from the platform's old syntax on the command line."""

import io
import json
import sys
from pathlib import Path

import pytest

from tests.fakes import Ran
from tests.gateway.cli.conftest import Run


def test_a_template_goes_to_standard_output_as_it_is_in_utf_8(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "a.html").write_bytes(b"\xef\xbb\xbf<p>$firstname$\x1b\r\n{SPLIO IF $email$}\xc3\xa9{SPLIO ENDIF}")
    converted = "<p>{{ contact.firstname }}\x1b\r\n{% if contact.email != blank %}é{% endif %}"
    assert run("convert", "a.html") == Ran(0, converted, "")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    assert run("convert", "a.html").status == 0
    assert written.getvalue().decode() == converted


def test_what_is_left_is_listed_and_the_status_says_so(run: Run, tmp_path: Path):
    (tmp_path / "a.txt").write_text("Hi $fistname$\n$mirrorurl$\n")
    ran = run("convert", "a.txt")
    assert ran.status == 1
    assert ran.out == "Hi {{ not_converted['$fistname$'] }}\n{{ not_converted['$mirrorurl$'] }}\n"
    assert ran.err.splitlines() == [
        "a.txt:1:4: $fistname$ is not known: was $firstname$ meant?",
        "a.txt:2:1: $mirrorurl$ has no counterpart: write a link of your own",
        "scenario: 2 parts of a.txt must be converted by hand",
    ]


def test_json_holds_text_and_what_is_left(run: Run, tmp_path: Path):
    (tmp_path / "a.txt").write_text("$shop$ $c1$")
    ran = run("convert", "a.txt", "--format", "json")
    assert ran.status == 1
    assert ran.json["text"] == "{{ not_converted['$shop$'] }} {{ contact.custom.c1 }}"
    assert [(left["line"], left["column"]) for left in ran.json["left"]] == [(1, 1)]
    assert len(ran.json["notes"]) == 1
    assert ran.err == "scenario: 1 part of a.txt must be converted by hand\n"


def test_standard_input_is_read(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"$firstname$ {{ x }}")))
    assert run("convert", "-", "--keep-liquid").out == "{{ contact.firstname }} {{ x }}"


def test_a_scenario_is_converted_in_place(run: Run, tmp_path: Path):
    (tmp_path / "a.yaml").write_text(
        "scenario: a  # kept\ntrigger: order\nsteps:\n  - sms: a\n    text: $firstname$ {{ contact.id }}\n"
    )
    assert run("convert", "a.yaml", "--output", "b.yaml") == Ran(0, "", "")
    assert "# kept" in (tmp_path / "b.yaml").read_text()
    assert run("check", "b.yaml").status == 0


def test_a_sample_tells_the_names_of_custom_fields(run: Run, tmp_path: Path):
    (tmp_path / "a.txt").write_text("$c1$")
    ran = run("convert", "a.txt")
    assert (ran.status, ran.out) == (0, "{{ contact.custom.c1 }}")
    assert ran.err.startswith("scenario: c1: custom fields are named by number only if")
    (tmp_path / "a.txt").write_text("$c1$ $vip$")
    (tmp_path / "contact.json").write_text(json.dumps({"custom_fields": [{"id": 1, "name": "vip", "value": "1"}]}))
    ran = run("convert", "a.txt", "--sample", "contact.json")
    assert ran == Ran(0, "{{ contact.custom.vip }} {{ contact.custom.vip }}", "")
