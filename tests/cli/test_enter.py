"""Entering one contact or many, from files too, and telling journeys of events."""

import asyncio
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from authoring.errors import BadInput
from cli import enter
from cli.entry_files import Line, lines, parse, read_entry
from runtime.errors import ConnectionFailed
from service.client import EventView
from service.errors import JourneyFailed, NotEntered
from tests.cli.conftest import Client, EnteredJourney, Run
from tests.fakes import Ran

NO_WORKER = "no worker has processed it yet: check that one is running ('scenario dev', or worker.py)"
AWAY = "the Temporal server went away: check that it is running, and try again"


def entry(contact: object, **more: Any) -> dict[str, Any]:
    return {"scenario": "a", "contact": {"id": contact}, "trigger": {"type": "segment"}, **more}


def write(path: Path, *entries: Any) -> Path:
    path.write_text("".join(f"{item if isinstance(item, str) else json.dumps(item)}\n" for item in entries))
    return path


def test_entering_prints_the_id(run: Run, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert run("enter", write(tmp_path / "e.json", entry(7))) == Ran(0, "a/7\n", "")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(entry(8)).encode())))
    assert run("enter", "-").out == "a/8\n"


def test_waiting_prints_the_result_after_the_id(run: Run, client: Client, tmp_path: Path):
    path = write(tmp_path / "e.json", entry(7))
    client.door = lambda _: EnteredJourney("a/7", outcome={"outcome": "exited", "reason": "event Zoé"})
    first, _, rest = run("enter", path, "--wait").out.partition("\n")
    assert (first, json.loads(rest), "Zoé" in rest) == ("a/7", {"outcome": "exited", "reason": "event Zoé"}, True)
    client.door = lambda _: EnteredJourney("a/7", outcome=JourneyFailed("the journey a/7 was terminated"))
    assert run("enter", path, "--wait") == Ran(1, "a/7\n", "scenario: the journey a/7 was terminated\n")


def test_an_entry_that_is_wrong_by_itself_is_refused_with_no_server_at_all(run: Run, tmp_path: Path):
    said = "scenario: the entry has no field 'colour': it has scenario, contact, trigger and key\n"
    assert run("enter", write(tmp_path / "e.json", entry(1, colour="red"))) == Ran(1, "", said)


@pytest.mark.parametrize(
    ("journey", "said"),
    [
        (EnteredJourney("a/7", admitted=False), f"a/7: {NO_WORKER}"),
        (EnteredJourney("a/7", already=True), "a/7 was already running"),
        (EnteredJourney("a/7", withheld="in the control group (0.0412 of 1)"), "a/7 gets nothing: in the control gro"),
    ],
)
def test_an_entry_that_is_not_simply_admitted_is_told(
    run: Run, client: Client, tmp_path: Path, journey: EnteredJourney, said: str
):
    client.door = lambda _: journey
    ran = run("enter", write(tmp_path / "e.json", entry(7)))
    assert (ran.status, ran.out, ran.err.count("\n")) == (0, "a/7\n", 1)
    assert ran.err.startswith(f"scenario: {said}")


@pytest.mark.parametrize("many", [(), ("--many",)])
def test_where_the_store_lets_nobody_in_it_is_named_and_no_worker_is_blamed(
    run: Run, client: Client, tmp_path: Path, many: tuple[str, ...]
):
    client.door = lambda _: EnteredJourney("a/7", admitted=False)
    client.ill = "The store db.example:5432/x cannot be used now (its disk is full): check that it is running."
    assert run("enter", write(tmp_path / "e.json", entry(7)), *many).err.splitlines()[0] == (
        "scenario: a/7: its admission is pending: the store db.example:5432/x cannot be used now (its disk is full): "
        "check that it is running"
    )


def test_a_time_zone_that_cannot_be_used_is_told(run: Run, client: Client, tmp_path: Path):
    client.door = lambda given: EnteredJourney("a/7", unplaced="it is none" if given["contact"]["id"] == 7 else "")
    one = run("enter", write(tmp_path / "e.json", entry(7)))
    assert (one.status, one.err) == (0, "scenario: a/7: contact.timezone is ignored: it is none\n")
    path = write(tmp_path / "e.jsonl", entry(7), entry(7), entry(8))
    assert (
        run("enter", path).err
        == run("enter", path, "--wait").err
        == (
            "scenario: 2 of them: contact.timezone cannot be used, and the scenario's is: 'scenario show JOURNEY' says "
            "why\nscenario: 3 entered\n"
        )
    )


def test_many_are_entered_and_each_mistake_is_named_by_its_line(run: Run, client: Client, tmp_path: Path):
    def door(given: Mapping[str, Any]) -> EnteredJourney:
        if given["contact"]["id"] == 3:
            raise NotEntered("the entry rule of a does not hold: false")
        return EnteredJourney(f"a/{given['contact']['id']}", already=given["contact"]["id"] == 4)

    client.door = door
    path = write(tmp_path / "e.jsonl", entry(1), "{", "", entry(3), entry(4), "[]")
    ran = run("enter", path)
    assert ran.status == 1
    assert sorted(ran.out.split()) == ["a/1", "a/4"]
    assert sorted(ran.err.splitlines()[:-1]) == [
        f"scenario: line 2 of {path} is not JSON (column 2): it ends before its last bracket is closed",
        "scenario: line 4: the entry rule of a does not hold: false",
        f"scenario: line 6 of {path} is not a JSON object: an entry is a JSON object with 'scenario', 'contact' and "
        "'trigger'",
    ]
    assert ran.err.splitlines()[-1] == "scenario: 1 entered, 1 already running, 3 not entered"


def test_many_come_from_standard_input(run: Run, client: Client, monkeypatch: pytest.MonkeyPatch):
    content = b"".join(json.dumps(entry(number)).encode() + b"\n" for number in range(50))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    ran = run("enter", "-", "--many", "--wait")
    assert (ran.status, ran.err) == (0, "scenario: 50 entered\n")
    results = [f'{{"id": "a/{number}", "outcome": "finished"}}' for number in range(50)]
    assert sorted(ran.out.splitlines()) == sorted(results)


def test_those_who_are_refused_by_a_worker_are_counted_however_late_it_says_so(
    run: Run, client: Client, tmp_path: Path
):
    refusal = NotEntered("the entry rule of a does not hold: false")
    client.door = lambda given: EnteredJourney(f"a/{given['contact']['id']}", admitted=refusal)
    ran = run("enter", write(tmp_path / "e.jsonl", *(entry(number) for number in range(300))))
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == "scenario: 0 entered, 300 not entered"
    assert "scenario: line 300: the entry rule of a does not hold: false" in ran.err.splitlines()
    assert {settle for _, _, settle in client.asked} == {0}  # none is waited for before the next is started


def test_where_it_is_not_known_who_came_in_the_status_is_1(run: Run, client: Client, tmp_path: Path):
    client.door = lambda given: EnteredJourney(f"a/{given['contact']['id']}", admitted=given["contact"]["id"] > 25)
    path = write(tmp_path / "e.jsonl", *(entry(number) for number in range(1, 31)))
    for wait in ((), ("--wait",)):
        ran = run("enter", path, *wait)
        assert (ran.status, len(ran.out.splitlines())) == (1, 5)
        first, *_, more, last = ran.err.splitlines()
        assert first.endswith(f": {NO_WORKER}")
        assert (more, last) == ("scenario: … and 5 more", "scenario: 5 entered, 25 not known")


def test_what_is_broken_off_tells_how_far_it_came(run: Run, client: Client, tmp_path: Path):
    def door(given: Mapping[str, Any]) -> EnteredJourney:
        if given["contact"]["id"] >= 9:
            raise ConnectionFailed(AWAY)
        return EnteredJourney(f"a/{given['contact']['id']}", admitted=given["contact"]["id"] > 2)

    client.door = door
    ran = run("enter", write(tmp_path / "e.jsonl", *(entry(number) for number in range(1000))))
    assert ran.status == 1
    assert ran.err == f"scenario: started 9, entered 6, not entered 0, not known 3\nscenario: {AWAY}\n"
    assert len(client.asked) <= 9 + enter.ENTERING


@pytest.mark.parametrize(("wait", "most"), [(False, 70), (True, enter.WAITING)])
async def test_no_more_than_so_many_are_on_their_way_at_once(wait: bool, most: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(enter, "OPEN", 70)
    open_now, highest, entering = 0, 0, 0

    class Slow:
        async def enter(self, given: Mapping[str, Any], *, settle: float) -> Any:
            nonlocal open_now, highest, entering
            entering += 1
            open_now += 1
            highest = max(highest, open_now)
            assert entering <= enter.ENTERING
            await asyncio.sleep(0.001)
            entering -= 1
            return self

        id, already, unplaced, withheld = "a/1", False, "", ""

        def watch_admissions(self) -> Any:
            return self

        async def known(self, _: object) -> bool:
            nonlocal open_now
            if not wait:
                await asyncio.sleep(0.01)
                open_now -= 1
            return True

        async def result(self) -> dict[str, Any]:
            nonlocal open_now
            await asyncio.sleep(0.001)
            open_now -= 1
            return {}

    content = json.dumps(entry(1)).encode() + b"\n"
    run = enter.Bulk(Slow(), "x", wait, enter.EntryTally(), lambda: None)  # type: ignore[arg-type]
    await run.run(io.BytesIO(content * (most + 50)))
    assert run.tally.entered == most + 50
    assert 1 < highest <= most


HEARD = [
    (EventView(told=1), "1 journey told", ""),
    (EventView(told=3), "3 journeys told", ""),
    (EventView(), "no journey told: none is running", ""),
    (EventView(unused=1), "no journey told: none uses this event", ""),
    (EventView(pending=1), "1 entry pending, told once admitted", ""),
    (EventView(told=1, pending=2), "1 journey told; 2 entries pending, told once admitted", ""),
    (EventView(told=1, goals=1), "1 journey told; 1 goal counted", ""),
    (
        EventView(goals=2, troubles={"waits/7": "the value of its goal is ignored: it is not a number"}),
        "no journey told: none is running; 2 goals counted",
        "scenario: waits/7: the value of its goal is ignored: it is not a number\n",
    ),
]


@pytest.mark.parametrize(("heard", "said", "remark"), HEARD, ids=[said for _, said, _ in HEARD])
def test_an_event_says_how_many_journeys_heard_of_it(
    run: Run, client: Client, heard: EventView, said: str, remark: str
):
    client.heard = heard
    ran = run("event", "7", "order.delivered", "--properties", '{"order_id": "é"}', "--id", "e1")
    assert ran == Ran(0, f"{said}\n", remark)
    assert client.asked == [("event", "7", "order.delivered", {"order_id": "é"}, "e1")]


def test_a_change_says_how_many_journeys_heard_of_it(run: Run, client: Client):
    assert run("change", "7", '{"firstname": "Zoé"}') == Ran(0, "1 journey told\n", "")
    assert client.asked == [("contact_changed", "7", {"firstname": "Zoé"})]


@pytest.mark.parametrize(("command", "name", "what"), [("event", "x", "the name"), ("change", "{}", "the change")])
def test_of_a_contact_whom_nobody_knows_the_status_is_1(run: Run, client: Client, command: str, name: str, what: str):
    client.heard = EventView(unknown=True)
    said = f"contact 7 has never had a journey: 'scenario {command}' takes the contact's id first, then {what}"
    assert run(command, "7", name) == Ran(1, "", f"scenario: {said}\n")


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


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b'{"a":', {"line": 7}, r"^line 7 of e.jsonl is not JSON \(column 6\): a value is missing$"),
        (b"[{}]", {}, r"^e.jsonl holds .*: give one entry$"),  # where there is no option for many
        (b"{}\n{}\n", {}, r"^e.jsonl holds .*: give one entry$"),
    ],
)
def test_what_is_no_entry_is_named_with_its_place(content: bytes, options: Any, said: str):
    with pytest.raises(BadInput, match=said):
        parse(content, "e.jsonl", **options)


async def test_lines_are_numbered_as_editors_do_blank_ones_left_out_and_endless_ones_cut():
    file = io.BytesIO(b'{"a":1}\r\n\n  \n{"a":2}\n' + b"x" * (9 * 1024 * 1024) + b"\n{}\n")
    first, second, endless, last = [line async for line in lines(file, "x")]
    assert [first, second, last] == [Line(1, b'{"a":1}'), Line(4, b'{"a":2}'), Line(6, b"{}")]
    assert len(endless.content) == 4 * 1024 * 1024


async def test_a_line_is_entered_before_the_next_is_written():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "wb", buffering=0) as writer:
        arriving = lines(reader, "standard input")
        for number in (1, 2, 3):
            writer.write(json.dumps({"n": number}).encode() + b"\n")
            assert await anext(arriving) == Line(number, json.dumps({"n": number}).encode())
        writer.close()
        assert [line async for line in arriving] == []
