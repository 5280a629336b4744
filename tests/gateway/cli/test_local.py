"""The commands that start everything themselves; what they start is tested elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runtime.errors import PortInUse
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
def test_demo_is_told_whether_to_stay(run: Run, begun: list[dict[str, Any]], arguments: list[str], stay: bool) -> None:
    assert run("demo", *arguments).status == 0
    assert begun[0]["stay"] is stay


def test_a_demo_that_went_wrong_is_status_1(run: Run, begun: list[dict[str, Any]]) -> None:
    begun.append({"ends": 1})
    assert run("demo").status == 1


def test_dev_uses_what_other_commands_look_for(run: Run, begun: list[dict[str, Any]]) -> None:
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


def test_dev_takes_other_ports_and_another_folder(run: Run, begun: list[dict[str, Any]]) -> None:
    run("dev", "--port", "0", "--ui-port", "0", "--gateway-port", "0", "--state", "elsewhere")
    assert [begun[0][name] for name in ("port", "ui_port", "gateway_port", "state")] == [0, 0, 0, Path("elsewhere")]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--send",), (True, False, False)),
        (("--send", "--resume"), (True, True, False)),
        (("--skip-time",), (False, False, True)),
    ],
)
def test_dev_is_told_what_to_do_otherwise(
    run: Run, begun: list[dict[str, Any]], options: tuple[str, ...], told: tuple[bool, ...]
) -> None:
    run("dev", *options)
    assert tuple(begun[0][name] for name in ("send", "resume", "skip_time")) == told


def test_ctrl_c_is_how_dev_ends_and_no_way_to_a_verdict_of_demo(run: Run, begun: list[dict[str, Any]]) -> None:
    begun.append({"ends": KeyboardInterrupt()})
    assert run("dev").status == 0
    begun[:] = [{"ends": KeyboardInterrupt()}]
    assert run("demo").status == 130


def test_a_port_in_use_is_one_sentence(run: Run, begun: list[dict[str, Any]]) -> None:
    begun.append({"ends": PortInUse(7233, "stop that program, or choose another port for the local Temporal server")})
    ran = run("dev")
    assert ran.status == 1
    assert ran.err == (
        "scenario: port 7233 is in use by another program: stop that program, or choose another port for the local "
        "Temporal server\n"
    )
