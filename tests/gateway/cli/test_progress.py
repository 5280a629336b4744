"""How far something has come, at a terminal."""

from __future__ import annotations

import sys

import pytest

from gateway.cli.output import progress
from tests.fakes import Terminal


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
