"""Files of contacts in all forms: which lines can enter a scenario, and why others cannot."""

import gzip
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from datetime import date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from authoring.errors import BadInput
from scenario.entry.values import PlatformDates
from scenario.model.scenario import Scenario, document
from service.campaigns.audience_file import AudienceLine, open_audience
from service.campaigns.reading import AudienceReading, read_audience
from service.campaigns.survey import AudienceEntry, InvalidLine, Survey, Surveyor
from tests.factories import present

STEPS = [{"sms": "hello", "text": "Hello"}]
SAME = {"scenario": "sale@3", "key": "advent"}


def sale(trigger: str = "segment", **more: Any) -> Scenario:
    return Scenario.model_validate({"scenario": "sale", "trigger": trigger, "steps": STEPS, **more})


def survey(path: Path, content: str | list[Any], trigger: str = "segment") -> tuple[list[AudienceEntry], Survey]:
    """The entries of a file, and its survey."""
    text = content if isinstance(content, str) else "".join(f"{json.dumps(line)}\n" for line in content)
    path.write_text(text, "utf-8")
    surveyor = Surveyor(sale(trigger), 3, "advent", PlatformDates("Europe/Paris"))
    with open_audience(path) as file:
        entries = list(surveyor.entries(file))
    return entries, surveyor.result(file)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


@pytest.fixture
def objects(tmp_path: Path) -> Path:
    return tmp_path / "people.jsonl"


def test_columns_become_the_parts_of_an_entry(table: Path):
    header = "contact.id,contact.email,custom.vip,contact.custom.city,order.external_id,trigger.order.total_price"
    [entry], found = survey(table, f"{header}\n7,zoe@example.com,yes,Paris,CGX,20.9\n", "order")
    contact = {"id": "7", "email": "zoe@example.com", "custom": {"vip": "yes", "city": "Paris"}}
    trigger = {"type": "order", "order": {"external_id": "CGX", "total_price": "20.9"}}
    assert entry == AudienceEntry(2, "7", {**SAME, "contact": contact, "trigger": trigger}, "sale/7/advent")
    assert (found.lines, found.entries, found.invalid, found.duplicates) == (1, 1, 0, 0)
    assert found.columns == tuple(header.split(","))


def test_a_line_of_json_is_completed(objects: Path):
    expected = {**SAME, "contact": {"id": 7}, "trigger": {"type": "segment"}}
    for more in ({}, {"scenario": "sale", "trigger": {"type": "segment"}}, {"scenario": "sale@1"}):
        [entry], _ = survey(objects, [{"contact": {"id": 7}, **more}])
        assert entry == AudienceEntry(1, "7", expected, "sale/7/advent")


def test_a_contact_enters_once(objects: Path):
    entries, found = survey(objects, [{"contact": {"id": number}} for number in (7, 8, "7", 9, 8)])
    assert [entry.line for entry in entries] == [1, 2, 4]
    assert (found.lines, found.entries, found.duplicates, found.is_acceptable) == (5, 3, 2, True)


def test_invalid_lines_are_counted_and_the_first_are_listed(objects: Path):
    lines: list[Any] = [
        {"contact": {"id": 1}, "key": "K"},
        {"scenario": "other", "contact": {"id": 1}},
        {"contact": {}},
        {"contact": {"id": 1}, "trigger": {"type": "order"}},
        {"contact": {"id": 1, "custom": 5}},
        [],
        *[{"contact": {"id": 1}, "extra": 1}] * 200,
    ]
    entries, found = survey(objects, lines)
    assert (entries, found.invalid, len(found.invalid_lines)) == ([], 206, 100)
    assert [*found.invalid_lines[:7]] == [
        InvalidLine(line=1, problem="the line has a key, which is the campaign's name in all lines: remove it"),
        InvalidLine(line=2, problem="the line names another scenario than sale"),
        InvalidLine(line=3, problem="the contact has no id: give 'contact.id'"),
        InvalidLine(line=4, problem="sale is entered by 'segment', not by 'order'"),
        InvalidLine(line=5, problem="'custom' of contact: custom fields must be a list or a mapping"),
        InvalidLine(line=6, problem="is no JSON object"),
        InvalidLine(line=7, problem="the entry has no field 'extra': it has scenario, contact, trigger and key"),
    ]


@pytest.mark.parametrize(("lines", "invalid", "acceptable"), [(100, 1, True), (100, 2, False), (0, 0, False)])
def test_more_than_one_line_in_a_hundred_is_not_acceptable(table: Path, lines: int, invalid: int, acceptable: bool):
    rows = "".join(f"{number if number >= invalid else ''},x\n" for number in range(lines))
    _, found = survey(table, f"contact.id,custom.a\n{rows}")
    assert (found.lines, found.invalid, found.is_acceptable) == (lines, invalid, acceptable)


def test_time_zones_are_counted(objects: Path):
    zones = ("Asia/Tokyo", None, "Asia/Tokyo", "Europe/Paris", None, "Asia/Tokyo")
    _, found = survey(objects, [{"contact": {"id": place, "timezone": zone}} for place, zone in enumerate(zones)])
    assert list(found.time_zones.items()) == [("Asia/Tokyo", 3), ("", 2), ("Europe/Paris", 1)]


NOWHERE = "has no place in an entry"


@pytest.mark.parametrize(
    ("trigger", "header", "sentence"),
    [
        ("segment", "email", f"the column 'email' {NOWHERE}: did you mean 'contact.email'?"),
        ("segment", "frstname", f"the column 'frstname' {NOWHERE}: did you mean 'contact.firstname'?"),
        (
            *("order", "basket.total"),
            f"the column 'basket.total' {NOWHERE}: write contact.… or custom.… or order.… or ticket.…",
        ),
        ("segment", "contact.", f"the column 'contact.' {NOWHERE}: write contact.… or custom.…"),
        ("segment", "key", f"the column 'key' {NOWHERE}: write contact.… or custom.…"),
        ("segment", "contact.email", "no column is called contact.id: each line needs the contact's id"),
        *(
            ("segment", f"contact.id,{one},{other}", f"the columns '{one}' and '{other}' exclude each other: keep one")
            for one, other in (("contact.custom", "custom.vip"), ("custom.vip", "contact.custom.vip"))
        ),
    ],
)
def test_a_header_that_cannot_be_used_refuses_the_file(table: Path, trigger: str, header: str, sentence: str):
    with pytest.raises(BadInput) as refused:
        survey(table, f"{header}\n", trigger)
    assert str(refused.value) == sentence


def test_columns_that_no_contact_has_are_told(table: Path):
    _, found = survey(table, "contact.id,contact.emial,contact.custom.x,custom.y\n1,a,b,c\n")
    assert (found.unknown_columns, found.entries) == (("contact.emial",), 1)


@pytest.mark.parametrize(
    ("zone", "at", "shown"),
    [
        pytest.param("America/New_York", "2026-11-27T09:00", "2026-11-27 14:00 UTC", id="the contact's"),
        pytest.param("", "2026-11-27T09:00", "2026-11-27 08:00 UTC", id="the scenario's"),
        pytest.param("nowhere", "2026-11-27T09:00", "2026-11-27 08:00 UTC", id="unknown: the scenario's"),
        pytest.param("Europe/Paris", "2026-03-29T02:30", "2026-03-29 01:30 UTC", id="skipped: 03:30"),
        pytest.param("Europe/Paris", "2026-10-25T02:30", "2026-10-25 00:30 UTC", id="repeated: the first"),
        pytest.param("+05:30", "2026-11-27T09:00", "2026-11-27 03:30 UTC", id="an offset"),
    ],
)
def test_each_entry_has_the_moment_at_which_its_contacts_clock_shows_the_start(
    table: Path, zone: str, at: str, shown: str
):
    start = datetime.fromisoformat(at)
    surveyor = Surveyor(sale(timezone="Europe/Paris"), 3, "advent", PlatformDates("Europe/Paris"), start)
    table.write_text(f"contact.id,contact.timezone\n7,{zone}\n", "utf-8")
    with open_audience(table) as file:
        [entry] = surveyor.entries(file)
    assert f"{entry.due:%Y-%m-%d %H:%M %Z}" == shown


@pytest.mark.parametrize("text", ["contact.id\n1\n\n\n", '{"contact": {"id": "1"}}\n\n\n\n'])
def test_a_file_without_an_end_is_refused(table: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setattr("service.campaigns.audience_file.MAX_LINES", 3)
    path = table.with_name("people.jsonl") if text[0] == "{" else table
    with pytest.raises(BadInput, match="the file has more than 3 lines: split it into several files"):
        survey(path, text)


async def read(name: str, content: bytes, **given: Any) -> tuple[list[int], list[AudienceEntry], Survey]:
    """The number of lines in each answer, the lines, and the survey."""
    given |= {
        "document": document(sale()),
        "version": 1,
        "campaign": "advent",
        "zone": "Europe/Paris",
        "dates": None,
        "file": name,
    }
    numbers, lines = list[int](), list[AudienceEntry]()

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 97):
            yield content[start : start + 97]

    async for answer in read_audience(AudienceReading(**given), parts()):
        if isinstance(answer, Survey):
            return numbers, lines, answer
        numbers.append(len(answer))
        lines += answer
    raise AssertionError


async def test_all_lines_arrive_in_their_order_with_the_survey_at_the_end():
    rows = "".join(f"{n}\n" for n in range(500)) + ",\n" * 300 + '7\n"\n'
    numbers, lines, survey = await read("people.csv.gz", gzip.compress(f"contact.id\n{rows}".encode()))
    assert max(numbers) <= 200
    assert [line.line for line in lines] == [*range(2, 502), 802, 803]
    entry = {"scenario": "sale@1", "key": "advent", "contact": {"id": "499"}, "trigger": {"type": "segment"}}
    assert lines[499] == AudienceEntry(501, "499", entry, "sale/499/advent")
    assert [line.outcome for line in lines[500:]] == ["duplicate", "invalid"]
    assert (survey.lines, survey.entries, survey.duplicates, survey.invalid) == (502, 500, 1, 1)


async def test_a_file_that_cannot_be_used_is_refused_with_its_name():
    with pytest.raises(BadInput, match=r"^people\.csv\.gz is damaged: it cannot be decompressed"):
        await read("people.csv.gz", gzip.compress(b"contact.id\n1\n")[:-9])


async def test_a_mistake_in_the_program_ends_the_reading_with_a_sentence():
    with pytest.raises(BadInput, match=r"^people\.csv cannot be read \(ValueError\): save it as CSV in UTF-8$"):
        await read("people.csv", b"contact.id\n1\n", local_start="never")


TABLE = 'contact.id,custom.city\n1,"Orléans; Loiret"\n\n2,\n'


def read_file(path: Path, content: bytes | None = None) -> tuple[str, list[AudienceLine]]:
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
    stated, [first, second] = read_file(tmp_path / name, content)
    assert (stated, first.number, second) == (form, 2, AudienceLine(4, {"contact.id": "2"}))
    city = present(first.data)["custom.city"]
    assert (present(first.data)["contact.id"], "Orléans" in city) == ("1", True)


def test_names_are_read_in_western_letters_unless_another_encoding_is_named(tmp_path: Path):
    path = tmp_path / "a.csv"
    form, lines = read_file(path, "contact.id,contact.lastname\n1,Núñez\n2,João\n3,Åsa\n".encode("cp1252"))
    assert form == "CSV in cp1252, separated by commas"
    assert [line.data and line.data["contact.lastname"] for line in lines] == ["Núñez", "João", "Åsa"]
    path.write_bytes("contact.id,contact.lastname\n1,Wałęsa\n".encode("cp1250"))
    with open_audience(path, "cp1250") as file:
        assert [line.data and line.data["contact.lastname"] for line in file.lines()] == ["Wałęsa"]
    with pytest.raises(BadInput, match="is neither UTF-8 nor cp1252: name its encoding by --encoding"):
        read_file(path, b"contact.id\n\x81\n")
    for name in ("utf-9", "base64", "undefined", "utf\0"):
        with pytest.raises(BadInput, match="there is no encoding '"), open_audience(path, name):
            pass
    with pytest.raises(BadInput, match="is not utf-16"):
        read_file(path, "contact.id\n1\n".encode("utf-16")[:-1])


def test_lines_in_an_open_quotation_are_all_invalid(tmp_path: Path):
    _, lines = read_file(tmp_path / "a.csv", b'contact.id\n1\n"2\n3\n4\n')
    assert [(line.number, bool(line.problem)) for line in lines] == [(2, False), (3, True), (4, True), (5, True)]


@pytest.mark.parametrize("name", ["a.jsonl", "a", "a.jsonl.gz"])
def test_lines_of_json_are_objects(tmp_path: Path, name: str):
    content, is_packed = b'{"contact": {"id": 1}}\n\n{"contact": {"id": 2}}', name.endswith("gz")
    form, lines = read_file(tmp_path / name, gzip.compress(b"\xef\xbb\xbf" + content) if is_packed else content)
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
    assert read_file(path) == ("Excel", [AudienceLine(2, known)])


def test_a_file_of_parquet_has_columns_and_nested_values(tmp_path: Path):
    path = tmp_path / "a.parquet"
    rows: list[dict[str, Any]] = [{"contact.id": 7, "custom.tags": ["a", "b"]}, {"contact.id": 8, "custom.tags": None}]
    pyarrow: Any = import_module("pyarrow")
    parquet: Any = import_module("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert read_file(path) == ("Parquet", [AudienceLine(1, rows[0]), AudienceLine(2, {"contact.id": 8})])


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
    _, lines = read_file(tmp_path / name, (b"contact.id\n" if name == "a.csv" else b"") + content)
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
        read_file(tmp_path / name, content)


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
        read_file(tmp_path / "a.xlsx", b"PK\x03\x04")
