"""Files of contacts in all forms, and what is wrong with them."""

import gzip
import hashlib
import json
import sys
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from gateway.campaigns.audience_file import AudienceLine, open_audience
from gateway.errors import BadInput

TABLE = 'contact.id,custom.city\n1,"Orléans; Loiret"\n\n2,\n'


def read(path: Path) -> tuple[str, list[AudienceLine], str]:
    """The form, the lines and the digest of a file."""
    with open_audience(path) as file:
        lines = list(file.lines())
        return str(file.form), lines, file.digest


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.csv", TABLE.encode(), "CSV in utf-8, separated by commas"),
        ("a.csv", TABLE.encode("utf-8-sig"), "CSV in utf-8, separated by commas"),
        ("a.csv", TABLE.encode("utf-16"), "CSV in utf-16, separated by commas"),
        ("a.csv", TABLE.encode("cp1252"), "CSV in cp1252, separated by commas"),
        ("a.csv", TABLE.replace(",", ";").replace("; L", ", L").encode(), "CSV in utf-8, separated by semicolons"),
        ("a", TABLE.replace(",", "\t").encode(), "CSV in utf-8, separated by tabs"),
        ("a.txt", TABLE.replace(",", "|").encode(), "CSV in utf-8, separated by vertical bars"),
        ("a.csv.gz", gzip.compress(TABLE.encode()), "CSV in utf-8, separated by commas, compressed by gzip"),
        ("a.csv", TABLE.replace("\n", "\r\n").encode(), "CSV in utf-8, separated by commas"),
    ],
    ids=["UTF-8", "byte order mark", "UTF-16", "Western", "semicolons", "tabs, no suffix", "bars", "gzip", "CRLF"],
)
def test_a_table_is_read_in_the_form_that_it_states(tmp_path: Path, name: str, content: bytes, form: str):
    path = tmp_path / name
    path.write_bytes(content)
    stated, lines, digest = read(path)
    assert stated == form
    assert [line.data and line.data["contact.id"] for line in lines] == ["1", "2"]
    assert [line.number for line in lines] == [2, 4]
    assert lines[0].data is not None
    assert "Orléans" in lines[0].data["custom.city"]
    assert lines[1].data == {"contact.id": "2"}
    assert digest == hashlib.sha256(content).hexdigest()


def test_names_are_read_in_western_letters_unless_another_encoding_is_named(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_bytes("contact.id,contact.lastname\n1,Núñez\n2,João\n3,Åsa\n".encode("cp1252"))
    form, lines, _ = read(path)
    assert form == "CSV in cp1252, separated by commas"
    assert [line.data and line.data["contact.lastname"] for line in lines] == ["Núñez", "João", "Åsa"]
    path.write_bytes("contact.id,contact.lastname\n1,Wałęsa\n".encode("cp1250"))
    with open_audience(path, "cp1250") as file:
        assert [line.data and line.data["contact.lastname"] for line in file.lines()] == ["Wałęsa"]
    path.write_bytes(b"contact.id\n\x81\n")
    with pytest.raises(BadInput, match="is neither UTF-8 nor cp1252: name its encoding by --encoding"):
        read(path)
    for name in ("utf-9", "base64", "undefined", "utf\0"):
        with pytest.raises(BadInput, match="there is no encoding '"), open_audience(path, name):
            pass
    path.write_bytes("contact.id\n1\n".encode("utf-16")[:-1])
    with pytest.raises(BadInput, match="is not utf-16"):
        read(path)


def test_lines_in_an_open_quotation_are_all_invalid(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text('contact.id\n1\n"2\n3\n4\n')
    _, lines, _ = read(path)
    assert [(line.number, bool(line.problem)) for line in lines] == [(2, False), (3, True), (4, True), (5, True)]


@pytest.mark.parametrize("name", ["a.jsonl", "a", "a.jsonl.gz"])
def test_lines_of_json_are_objects(tmp_path: Path, name: str):
    path = tmp_path / name
    content = b'\xef\xbb\xbf{"contact": {"id": 1}}\n\n{"contact": {"id": 2}}'
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content.removeprefix(b"\xef\xbb\xbf"))
    form, lines, digest = read(path)
    assert form == f"JSON lines in utf-8{', compressed by gzip' if name.endswith('gz') else ''}"
    assert lines == [AudienceLine(1, {"contact": {"id": 1}}), AudienceLine(3, {"contact": {"id": 2}})]
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_sheet_of_excel_has_its_numbers_and_dates(tmp_path: Path):
    path = tmp_path / "a.xlsx"
    xlsxwriter: Any = import_module("xlsxwriter")
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["contact.id", "contact.birthday", "custom.share"])
        sheet.write_row(1, 0, [3028687, date(1990, 2, 28), 0.5])
    form, lines, digest = read(path)
    assert form == "Excel"
    assert lines == [AudienceLine(2, {"contact.id": 3028687, "contact.birthday": "1990-02-28", "custom.share": 0.5})]
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_of_parquet_has_columns_and_nested_values(tmp_path: Path):
    path = tmp_path / "a.parquet"
    rows: list[dict[str, Any]] = [{"contact.id": 7, "custom.tags": ["a", "b"]}, {"contact.id": 8, "custom.tags": None}]
    pyarrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    form, lines, digest = read(path)
    assert form == "Parquet"
    assert lines == [AudienceLine(1, rows[0]), AudienceLine(2, {"contact.id": 8})]
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()


MISPLACED = "has a misplaced quotation mark or is too long"
BAD_LINES: dict[str, tuple[str, bytes, dict[int, str]]] = {
    "too many values": ("a.csv", b"contact.id\n1,2\n3\n", {2: "has 2 values, and the header has 1"}),
    "an empty value too many": ("a.csv", b"contact.id\n1,\n", {}),
    "encoding": (
        *("a.csv", b"contact.id\n" + b"a\n" * 40_000 + b"\xff\n"),
        {40_002: "has a byte that utf-8 does not have"},
    ),
    "quotation mark": ("a.csv", b'contact.id\n"1"x\n2\n', {2: f"{MISPLACED} (',' expected after '\"')"}),
    "too long for memory": (
        *("a.csv", b"contact.id\n1" + b"," * 3_300_000 + b"\n2\n"),
        {2: f"{MISPLACED} (field larger than field limit (1048576))"},
    ),
    "no JSON": ("a.jsonl", b'{"a": }\n', {1: "is not JSON (column 7): a value is missing"}),
    "no object": ("a.jsonl", b"[1]\n", {1: "is no JSON object"}),
    "no UTF-8": ("a.jsonl", b'"\xff"\n{}\n', {1: "is not UTF-8"}),
    "too deep": ("a.jsonl", b"[" * 5000 + b"\n", {1: "is nested too deeply"}),
    "too long": ("a.jsonl", b"{" + b" " * 1_100_000 + b"}\n{}\n", {1: "is longer than 1,048,576 bytes"}),
}


@pytest.mark.parametrize(("name", "content", "problems"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_has_a_problem_and_the_others_go_on(
    tmp_path: Path, name: str, content: bytes, problems: dict[int, str]
):
    path = tmp_path / name
    path.write_bytes(content)
    _, lines, _ = read(path)
    assert {line.number: line.problem for line in lines if line.problem} == problems
    assert all((line.data is None) == bool(line.problem) for line in lines)


UNUSABLE = {
    "empty": ("a.csv", b" \n", "is empty"),
    "unnamed column": ("a.csv", b"contact.id,,x\n", "column 2 of"),
    "column twice": ("a.csv", b"a,b,a\n", "has two columns 'a'"),
    "columns": ("a.csv", (",".join(f"c{n}" for n in range(1001))).encode(), "has more than 1,000 columns"),
    "cut short": ("a.csv.gz", gzip.compress(TABLE.encode() * 900)[:-40], "is damaged"),
    "no gzip": ("a.csv.gz", b"\x1f\x8bnothing", "is damaged: it cannot be decompressed"),
    "no Excel": ("a.xlsx", b"PK\x03\x04nothing", "is no Excel file, or a damaged one"),
    "no Parquet": ("a.parquet", b"PAR1nothing", "is no Parquet file, or a damaged one"),
    "packed": ("a.xlsx.gz", gzip.compress(b"PK\x03\x04"), "is a compressed Excel file: decompress it"),
}


@pytest.mark.parametrize(("name", "content", "sentence"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, name: str, content: bytes, sentence: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadInput, match=sentence):
        read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(BadInput, match=r"a\.csv cannot be read: no such file"):
        read(tmp_path / "a.csv")


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n")

    def change() -> None:
        with open_audience(path) as file:
            next(file.lines())
            path.write_text("{}\n{}\n")

    with pytest.raises(BadInput, match="changed while it was read"):
        change()


def test_a_form_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"PK\x03\x04")
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(BadInput, match=r"pip install 'scenario-runner\[xlsx\]', or save it as CSV"):
        read(path)


def test_a_long_file_is_read_a_line_at_a_time(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"contact": {"id": 1}}) + "\n")
    with open_audience(path) as file:
        assert next(file.lines()).number == 1
