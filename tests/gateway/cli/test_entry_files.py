"""What is wrong with an entry's file is said with its place, and without its content."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from gateway.cli.entry_files import Line, lines, parse, read_entry
from gateway.errors import BadInput
from tests.gateway.cli.conftest import Run

WANTED = "an entry is a JSON object with 'scenario', 'contact' and 'trigger'"

BAD = {
    "a comma too many": (b'{"a": 1,\n }', "e.json is not JSON (line 1, column 8): there is one comma too many"),
    "nothing": (b" \n", f"e.json is empty: {WANTED}"),
    "a number": (b"12", f"e.json is not a JSON object: {WANTED}"),
    "a list": (b"[{}]", "e.json holds a list: write one entry a line, and enter them with --many"),
    "two entries": (b"{}\n{}\n", "e.json holds more than one value (line 2, column 1): enter one a line with --many"),
    "Latin-1": (b'{"a": "\xe9"}', "e.json is not UTF-8: save it as UTF-8"),
    "a deep nest": (b"[" * 100_000, f"e.json is nested too deeply: {WANTED}"),
}


@pytest.mark.parametrize(("content", "said"), BAD.values(), ids=BAD.keys())
def test_a_file_that_is_no_entry_is_refused_at_its_place(run: Run, tmp_path: Path, content: bytes, said: str):
    (tmp_path / "e.json").write_bytes(content)
    ran = run("enter", "e.json")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(f"scenario: {said}")
    assert ran.err.count("\n") == 1


def test_a_byte_order_mark_and_any_letter_are_taken(tmp_path: Path):
    (tmp_path / "e.json").write_bytes(b"\xef\xbb\xbf" + '{"contact": {"firstname": "Zoé 🎂"}}'.encode())
    assert read_entry(str(tmp_path / "e.json")) == {"contact": {"firstname": "Zoé 🎂"}}


def test_a_line_is_named_with_its_number():
    with pytest.raises(BadInput, match=r"^line 7 of e.jsonl is not JSON \(column 6\): a value is missing$"):
        parse(b'{"a":', "e.jsonl", line=7)


async def test_lines_are_numbered_as_editors_do_and_blank_ones_left_out():
    file = io.BytesIO(b'{"a":1}\r\n\n  \n{"a":2}')
    assert [line async for line in lines(file, "x")] == [Line(1, b'{"a":1}'), Line(4, b'{"a":2}')]


async def test_a_line_without_an_end_does_not_fill_the_memory():
    file = io.BytesIO(b"x" * (9 * 1024 * 1024) + b"\n{}\n")
    first, second = [line async for line in lines(file, "x")]
    assert len(first.content) == 4 * 1024 * 1024
    assert second == Line(2, b"{}")


async def test_a_line_is_entered_before_the_next_is_written():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb", buffering=0) as writer:
        arriving = lines(reader, "standard input")
        for number in (1, 2, 3):
            writer.write(json.dumps({"n": number}).encode() + b"\n")
            assert await anext(arriving) == Line(number, json.dumps({"n": number}).encode())
        writer.close()
        assert [line async for line in arriving] == []


def test_an_option_that_a_command_does_not_have_is_not_named():
    for content in (b"[{}]", b"{}\n{}\n"):
        with pytest.raises(BadInput, match=r"^e.json holds .*: give one entry$"):
            parse(content, "e.json")
