"""A worker leaves what it has loaded out of garbage collections."""

from __future__ import annotations

import gc

import pytest

from runtime.process.garbage import collect_rarely


def test_what_is_loaded_is_left_out_and_other_objects_are_collected_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, tuple[int, ...]]] = []
    for name in ("collect", "freeze", "set_threshold"):
        monkeypatch.setattr(gc, name, lambda *given, name=name: calls.append((name, given)))
    collect_rarely()
    assert calls == [("collect", ()), ("freeze", ()), ("set_threshold", (10_000,))]
