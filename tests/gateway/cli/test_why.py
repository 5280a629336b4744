"""Why a contact did, or did not, get something, for people and for programs."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from gateway.errors import NotFound
from gateway.why.story import told
from gateway.why.why import CapPlaces, WhyView
from tests.gateway.cli.conftest import Client, Run
from tests.gateway.journey import ENTRY, HELD, START

PARIS = ZoneInfo("Europe/Paris")
BEGUN = "Tue 2026-03-31 10:00"


def test_it_is_told_within_80_columns(run: Run, client: Client):
    caps = (
        CapPlaces(cap="day", taken=1, at_most=1, per="day", free_at=START),
        CapPlaces(cap="week", taken=3, at_most=4, per="7d", free_at=None),
    )
    client.answered = WhyView(
        contact="7", step="hook", answer="Not yet.", entries=[told(HELD, ENTRY)], caps=[*caps], zone=PARIS
    )
    ran = run("why", "7", "a", "--step", "hook")
    lines = ran.out.splitlines()
    assert (ran.status, ran.err, lines[:5]) == (
        0,
        "",
        [
            "Not yet.",
            "",
            "a/7/K1",
            "  a@3, times of Europe/Paris",
            "  Tue 2026-03-31 10:00  let in by order with the key K1",
        ],
    )
    assert "day: 1 of 1 taken this day, next free Tue 2026-03-31 10:00; week: 3 of 4 taken in 7d" in " ".join(lines)
    assert max(map(len, lines)) <= 80
    wanted = {"step": "hook", "since": None, "limit": 20}
    assert client.asked == [("why", "7", "a", wanted)]
    report = run("why", "7", "--format", "json").json
    assert (report["contact"], report["entries"][0]["happenings"][0]["what"]) == ("7", "let in")


def test_of_an_unknown_contact_there_is_one_sentence(run: Run, client: Client):
    client.answered = NotFound("nothing is on record of a contact '8'")
    ran = run("why", "8")
    assert (ran.status, ran.out, ran.err) == (1, "", "scenario: nothing is on record of a contact '8'\n")
