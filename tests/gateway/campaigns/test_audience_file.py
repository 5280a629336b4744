"""Files of contacts in all forms, and what is wrong with them."""

import gzip
import hashlib
import sys
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from gateway.campaigns.audience_file import AudienceLine, open_audience
from gateway.errors import BadInput
from tests.factories import present

TABLE = 'contact.id,custom.city\n1,"Orléans; Loiret"\n\n2,\n'


def read(path: Path, content: bytes | None = None) -> tuple[str, list[AudienceLine]]:
    """Return the form and the lines of a file, after writing it."""
    if content is not None:
        path.write_bytes(content)
    with open_audience(path) as file:
        lines = list(file.lines())
        assert file.digest == hashlib.sha256(path.read_bytes()).hexdigest()
        return str(file.form), lines


CSV = "CSV in utf-8, separated by commas"


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.csv", TABLE.encode(), CSV),
        ("a.csv", TABLE.encode("utf-8-sig"), CSV),
        ("a.csv", TABLE.encode("utf-16"), "CSV in utf-16, separated by commas"),
        ("a.csv", TABLE.encode("cp1252"), "CSV in cp1252, separated by commas"),
        ("a.csv", TABLE.replace(",", ";").replace("; L", ", L").encode(), "CSV in utf-8, separated by semicolons"),
        ("a", TABLE.replace(",", "\t").encode(), "CSV in utf-8, separated by tabs"),
        ("a.txt", TABLE.replace(",", "|").encode(), "CSV in utf-8, separated by vertical bars"),
        ("a.csv.gz", gzip.compress(TABLE.encode()), f"{CSV}, compressed by gzip"),
        ("a.csv", TABLE.replace("\n", "\r\n").encode(), CSV),
    ],
    ids=["UTF-8", "byte order mark", "UTF-16", "Western", "semicolons", "tabs, no suffix", "bars", "gzip", "CRLF"],
)
def test_a_table_is_read_in_the_form_that_it_states(tmp_path: Path, name: str, content: bytes, form: str):
    stated, [first, second] = read(tmp_path / name, content)
    assert (stated, first.number, second) == (form, 2, AudienceLine(4, {"contact.id": "2"}))
    city = present(first.data)["custom.city"]
    assert (present(first.data)["contact.id"], "Orléans" in city) == ("1", True)


def test_names_are_read_in_western_letters_unless_another_encoding_is_named(tmp_path: Path):
    path = tmp_path / "a.csv"
    form, lines = read(path, "contact.id,contact.lastname\n1,Núñez\n2,João\n3,Åsa\n".encode("cp1252"))
    assert form == "CSV in cp1252, separated by commas"
    assert [line.data and line.data["contact.lastname"] for line in lines] == ["Núñez", "João", "Åsa"]
    path.write_bytes("contact.id,contact.lastname\n1,Wałęsa\n".encode("cp1250"))
    with open_audience(path, "cp1250") as file:
        assert [line.data and line.data["contact.lastname"] for line in file.lines()] == ["Wałęsa"]
    with pytest.raises(BadInput, match="is neither UTF-8 nor cp1252: name its encoding by --encoding"):
        read(path, b"contact.id\n\x81\n")
    for name in ("utf-9", "base64", "undefined", "utf\0"):
        with pytest.raises(BadInput, match="there is no encoding '"), open_audience(path, name):
            pass
    with pytest.raises(BadInput, match="is not utf-16"):
        read(path, "contact.id\n1\n".encode("utf-16")[:-1])


def test_lines_in_an_open_quotation_are_all_invalid(tmp_path: Path):
    _, lines = read(tmp_path / "a.csv", b'contact.id\n1\n"2\n3\n4\n')
    assert [(line.number, bool(line.problem)) for line in lines] == [(2, False), (3, True), (4, True), (5, True)]


@pytest.mark.parametrize("name", ["a.jsonl", "a", "a.jsonl.gz"])
def test_lines_of_json_are_objects(tmp_path: Path, name: str):
    content, is_packed = b'{"contact": {"id": 1}}\n\n{"contact": {"id": 2}}', name.endswith("gz")
    form, lines = read(tmp_path / name, gzip.compress(b"\xef\xbb\xbf" + content) if is_packed else content)
    assert form == f"JSON lines in utf-8{', compressed by gzip' if is_packed else ''}"
    assert lines == [AudienceLine(1, {"contact": {"id": 1}}), AudienceLine(3, {"contact": {"id": 2}})]


def test_a_sheet_of_excel_has_its_numbers_and_dates(tmp_path: Path):
    path = tmp_path / "a.xlsx"
    xlsxwriter: Any = import_module("xlsxwriter")
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["contact.id", "contact.birthday", "custom.share"])
        sheet.write_row(1, 0, [3028687, date(1990, 2, 28), 0.5])
    known = {"contact.id": 3028687, "contact.birthday": "1990-02-28", "custom.share": 0.5}
    assert read(path) == ("Excel", [AudienceLine(2, known)])


def test_a_file_of_parquet_has_columns_and_nested_values(tmp_path: Path):
    path = tmp_path / "a.parquet"
    rows: list[dict[str, Any]] = [{"contact.id": 7, "custom.tags": ["a", "b"]}, {"contact.id": 8, "custom.tags": None}]
    pyarrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert read(path) == ("Parquet", [AudienceLine(1, rows[0]), AudienceLine(2, {"contact.id": 8})])


MISPLACED = "has a misplaced quotation mark or is too long"
BAD_LINES: dict[str, tuple[str, bytes, dict[int, str]]] = {
    "too many values": ("a.csv", b"1,2\n3\n", {2: "has 2 values, and the header has 1"}),
    "an empty value too many": ("a.csv", b"1,\n", {}),
    "encoding": ("a.csv", b"a\n" * 40_000 + b"\xff\n", {40_002: "has a byte that utf-8 does not have"}),
    "quotation mark": ("a.csv", b'"1"x\n2\n', {2: f"{MISPLACED} (',' expected after '\"')"}),
    "long": (
        "a.csv",
        b"1" + b"," * 3_300_000 + b"\n2\n",
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
    _, lines = read(tmp_path / name, (b"contact.id\n" if name == "a.csv" else b"") + content)
    assert {line.number: line.problem for line in lines if line.problem} == problems
    assert all((line.data is None) == bool(line.problem) for line in lines)


UNUSABLE: dict[str, tuple[str, bytes | None, str]] = {
    "not there": ("a.csv", None, r"a\.csv cannot be read: no such file"),
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
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, name: str, content: bytes | None, sentence: str):
    with pytest.raises(BadInput, match=sentence):
        read(tmp_path / name, content)


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
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(BadInput, match=r"pip install 'scenario-runner\[xlsx\]', or save it as CSV"):
        read(tmp_path / "a.xlsx", b"PK\x03\x04")
