"""A worker leaves what it has loaded out of garbage collections."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from runtime.process.garbage import collect_rarely


def test_what_is_loaded_is_left_out_and_other_objects_are_collected_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def noted(name: str) -> Callable[..., None]:
        return lambda *given: calls.append(f"{name}{given}")

    for name in ("collect", "freeze", "set_threshold"):
        monkeypatch.setattr(gc, name, noted(name))
    collect_rarely()
    assert calls == ["collect()", "freeze()", "set_threshold(10000,)"]
