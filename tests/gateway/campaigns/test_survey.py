"""Which lines of a file can enter a scenario, and why the others cannot; and files that a child process reads."""

import gzip
import json
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.campaigns.audience_file import open_audience
from gateway.campaigns.reading import AudienceReading, read_audience
from gateway.campaigns.survey import AudienceEntry, InvalidLine, Survey, Surveyor
from gateway.errors import BadInput
from scenario.model.document import document
from scenario.model.scenario import Scenario

STEPS = [{"sms": "hello", "text": "Hello"}]
SAME = {"scenario": "sale@3", "key": "advent"}


def sale(trigger: str = "segment", **more: Any) -> Scenario:
    return Scenario.model_validate({"scenario": "sale", "trigger": trigger, "steps": STEPS, **more})


def survey(path: Path, content: str | list[Any], trigger: str = "segment") -> tuple[list[AudienceEntry], Survey]:
    """The entries of a file, and its survey."""
    text = content if isinstance(content, str) else "".join(f"{json.dumps(line)}\n" for line in content)
    path.write_text(text, "utf-8")
    surveyor = Surveyor(sale(trigger), 3, "advent", "Europe/Paris")
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
    surveyor = Surveyor(sale(timezone="Europe/Paris"), 3, "advent", "Europe/Paris", start)
    table.write_text(f"contact.id,contact.timezone\n7,{zone}\n", "utf-8")
    with open_audience(table) as file:
        [entry] = surveyor.entries(file)
    assert f"{entry.due:%Y-%m-%d %H:%M %Z}" == shown


@pytest.mark.parametrize("text", ["contact.id\n1\n\n\n", '{"contact": {"id": "1"}}\n\n\n\n'])
def test_a_file_without_an_end_is_refused(table: Path, monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setattr("gateway.campaigns.audience_file.MAX_LINES", 3)
    path = table.with_name("people.jsonl") if text[0] == "{" else table
    with pytest.raises(BadInput, match="the file has more than 3 lines: split it into several files"):
        survey(path, text)


async def read(name: str, content: bytes, **given: Any) -> tuple[list[int], list[AudienceEntry], Survey]:
    """The number of lines in each answer, the lines, and the survey."""
    given |= {"document": document(sale()), "version": 1, "campaign": "advent", "zone": "Europe/Paris", "file": name}
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
