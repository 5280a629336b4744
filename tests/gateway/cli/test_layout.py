"""Tables at 80 columns: each can be read, and each id can be copied; and how far something has come."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from gateway.cli.output import Table, progress
from tests.fakes import Terminal
from tests.gateway.cli.conftest import Client, Run, Stored
from tests.gateway.cli.samples import LISTED
from tests.gateway.journey import HELD, attempt

JOURNEY = "abandoned-cart-with-a-voucher/3028687/CGX0094-2026-11-26-paris-1er"
DESTINATION = "hooks.the-messages-of-a-provider.example.com"
WHY = f"{DESTINATION} answered 503, and no later attempt came to an end, which nobody would have thought of"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ATTEMPT = attempt("hook", 1, workflow_id=JOURNEY, destination=DESTINATION, response="busy " * 30, trace_id=TRACE)
SCENARIO = "abandoned-cart-with-a-voucher@12"
FOUND = LISTED.model_copy(update={"id": JOURNEY, "scenario": SCENARIO, "destination": DESTINATION, "reason": WHY})

pytestmark = pytest.mark.usefixtures("paris")


@pytest.fixture
def narrow(run: Run, client: Client, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands at a terminal of 80 columns, with ids that hardly fit."""
    stored(lambda store: store.record([ATTEMPT]))
    client.shown |= {"journeys": [FOUND], "held": [FOUND]}
    client.views[JOURNEY] = replace(HELD, id=JOURNEY, attempts=[ATTEMPT])
    monkeypatch.setenv("COLUMNS", "80")
    return run


COMMANDS: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("list",), (JOURNEY, SCENARIO, "held", "hook", "2026-03-31 10:00:00")),
    (("list", "--held"), (JOURNEY, DESTINATION, "permanent", "2026-03-31 10:20:00", "422")),
    (("deliveries",), (JOURNEY, f"webhook → {DESTINATION}", ATTEMPT.delivery_id, TRACE, "2026-03-31 10:00:01")),
    (
        ("show", JOURNEY),
        (JOURNEY, f"webhook → {DESTINATION}", ATTEMPT.delivery_id, TRACE, f"leave {JOURNEY} --reason …"),
    ),
]


@pytest.mark.parametrize(("command", "cells"), COMMANDS, ids=[" ".join(command[:2]) for command, _ in COMMANDS])
def test_each_table_can_be_read_at_80_columns_and_each_id_copied(
    narrow: Run, command: tuple[str, ...], cells: tuple[str, ...]
):
    lines = narrow(*command).out.splitlines()
    assert [cell for cell in cells if not any(cell in line for line in lines)] == []
    # A line is longer only where it is one id, or a command to be copied.
    assert [line for line in lines if len(line) > 80 and JOURNEY not in line and "msg_" not in line] == []


def test_a_table_becomes_blocks_where_it_does_not_fit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    made = Table("", "step", "state", "why", prose=("why",))
    made.add("▶", "whatsapp", "held", "it was answered by nobody at all")
    made.add("·", "bye", "", "")
    monkeypatch.setenv("COLUMNS", "60")
    made.show()
    assert [line.split() for line in capsys.readouterr().out.splitlines()][2][:3] == ["▶", "whatsapp", "held"]
    monkeypatch.setenv("COLUMNS", "30")
    made.show()
    assert capsys.readouterr().out.splitlines() == [
        "▶ whatsapp",
        "  state held",
        "  why it was answered by",
        "    nobody at all",
        "· bye",
    ]


def test_a_bar_tells_what_else_there_is_to_tell_whenever_it_is_drawn(monkeypatch: pytest.MonkeyPatch):
    screen, told = Terminal(), ["started 0"]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", screen)
    with progress("entering", 3, lambda: told[0]) as advance:
        told[0] = "started 2, entered 1"
        advance()
    drawn = screen.getvalue()
    assert "started 2, entered 1" in drawn
    assert "1/3" in drawn


def test_there_is_none_where_nobody_watches(capsys: pytest.CaptureFixture[str]):
    with progress("entering", 3, lambda: "started 0") as advance:
        advance()
    assert capsys.readouterr().err == ""
