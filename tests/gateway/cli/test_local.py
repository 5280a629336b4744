"""The commands that start everything themselves; what they start is tested elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.gateway.cli.conftest import Run


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was started, in the place of the real thing. Its last element says how it ends."""
    calls: list[dict[str, Any]] = []

    async def start(**given: Any) -> int:
        ending = calls.pop(0)["ends"] if calls else 0
        calls.append(given)
        if isinstance(ending, BaseException):
            raise ending
        return ending

    for name in ("demo", "dev"):
        module = ModuleType(f"gateway.local.{name}")
        setattr(module, name, start)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


@pytest.mark.parametrize(("arguments", "stay"), [([], False), (["--stay"], True)])
def test_demo_is_told_whether_to_stay_and_how_it_ended(
    run: Run, begun: list[dict[str, Any]], arguments: list[str], stay: bool
):
    begun.append({"ends": int(stay)})
    assert run("demo", *arguments).status == int(stay)
    assert begun[0]["stay"] is stay


def test_dev_uses_what_other_commands_look_for(run: Run, begun: list[dict[str, Any]]):
    assert run("dev").status == 0
    begun[0].pop("console")
    assert begun[0] == {
        "state": Path(".scenario"),
        "port": 7233,
        "ui_port": 8233,
        "gateway_port": 8080,
        "send": False,
        "resume": False,
        "skip_time": False,
    }


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            "--port 0 --ui-port 1 --gateway-port 2 --state elsewhere",
            {"port": 0, "ui_port": 1, "gateway_port": 2, "state": Path("elsewhere")},
        ),
        ("--send --resume", {"send": True, "resume": True}),
        ("--skip-time", {"skip_time": True}),
    ],
)
def test_dev_is_told_what_to_do_otherwise(run: Run, begun: list[dict[str, Any]], options: str, told: dict[str, Any]):
    run("dev", *options.split())
    assert begun[0].items() >= told.items()


def test_ctrl_c_is_how_dev_ends_and_no_way_to_a_verdict_of_demo(run: Run, begun: list[dict[str, Any]]):
    begun.append({"ends": KeyboardInterrupt()})
    assert run("dev").status == 0
    begun[:] = [{"ends": KeyboardInterrupt()}]
    assert run("demo").status == 130
