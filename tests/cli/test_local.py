"""The commands that start everything themselves, and what tells the local receiver how to answer."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from runtime.local.receiver import Received, keep, read_answers
from tests.cli.conftest import Run


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
        module = ModuleType(f"cli.local.{name}")
        setattr(module, name, start)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


STATE = Path(".scenario")
PORTS: dict[str, Any] = {"port": 7233, "ui_port": 8233, "gateway_port": 8080}
USUAL = {"state": STATE, **PORTS, "send": False, "resume": False, "skip_time": False}
OTHER = {"port": 0, "ui_port": 1, "gateway_port": 2, "state": Path("elsewhere")}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("demo", {"stay": False}),
        ("demo --stay", {"stay": True}),
        ("dev", USUAL),
        ("dev --port 0 --ui-port 1 --gateway-port 2 --state elsewhere", USUAL | OTHER),
        ("dev --send --resume", USUAL | {"send": True, "resume": True}),
        ("dev --skip-time", USUAL | {"skip_time": True}),
    ],
)
def test_it_is_told_what_to_do(run: Run, begun: list[dict[str, Any]], line: str, told: dict[str, Any]):
    assert run(*line.split()).status == 0
    assert {name: begun[0][name] for name in told} == told


@pytest.mark.parametrize(
    ("command", "ends", "status"), [("demo", 1, 1), ("dev", KeyboardInterrupt(), 0), ("demo", KeyboardInterrupt(), 130)]
)
def test_ctrl_c_is_how_dev_ends_and_no_verdict_of_demo(
    run: Run, begun: list[dict[str, Any]], command: str, ends: Any, status: int
):
    begun.append({"ends": ends})
    assert run(command).status == status


@pytest.fixture
def came(run: Run) -> None:
    """Two requests have come."""
    del run  # which goes to the folder
    (STATE / "received").mkdir(parents=True)
    for number, (target, status) in enumerate([("/hooks.example.com/wax/9f31", 503), ("/crm/notes?a", 200)], 1):
        at = datetime(2026, 3, 31, 8, number, tzinfo=UTC)
        keep(STATE / "received", Received(number, at, "POST", target, (("a", "b"),), b"{}", status))


def test_what_is_told_is_kept_until_it_is_reset(run: Run):
    run("receiver", "wax", "--answer", "503", "--times", "2", "--state", "other")
    run("receiver", "crm", "--answer", "422", "--state", "other")
    assert {place: (answer.first, answer.then) for place, answer in read_answers(Path("other")).items()} == {
        "wax": ((503, 503), 200),
        "crm": ((), 422),
    }
    run("receiver", "wax", "--reset", "--state", "other")
    assert list(read_answers(Path("other"))) == ["crm"]
    run("receiver", "--reset", "--state", "other")
    assert read_answers(Path("other")) == {}


@pytest.mark.usefixtures("came", "paris")
def test_without_a_word_it_shows_what_it_is_told_and_what_came(run: Run):
    run("receiver", "crm", "--answer", "422")
    ran = run("receiver")
    assert [line.split() for line in ran.out.splitlines() if "─" not in line] == [
        ["crm:", "422"],
        ["place", "requests", "last", "answered"],
        ["crm", "1", "2026-03-31", "10:02:00", "200"],
        ["hooks.example.com", "1", "2026-03-31", "10:01:00", "503"],
    ]
    shown = run("receiver", "--format", "json").json
    assert shown["told"]["crm"]["then"] == 422
    last = {"last": "2026-03-31T08:01:00+00:00", "status": 503}
    assert shown["received"][1] == {"place": "hooks.example.com", "requests": 1, **last}


@pytest.mark.usefixtures("came")
def test_a_place_that_nothing_went_to_is_told_all_the_same(run: Run):
    assert run("receiver", "wux", "--answer", "503").err == "nothing was sent to 'wux' yet: crm, hooks.example.com\n"
    assert "wux" in read_answers(STATE)
