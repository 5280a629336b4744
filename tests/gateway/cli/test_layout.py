"""Tables at terminals that are too narrow for them, and how far something has come."""

from __future__ import annotations

import sys

import pytest

from gateway.cli.output import Table, progress
from tests.fakes import Terminal


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
