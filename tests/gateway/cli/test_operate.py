"""Operations on one journey."""

from __future__ import annotations

import pytest

from gateway.cli import options
from gateway.errors import NotAccepted
from tests.gateway.cli.conftest import Client, Run

ORDERS = [
    ("retry", "a/1: step hook is retried"),
    ("skip", "a/1: step hook is skipped"),
    ("leave", "a/1: leaving"),
    ("pause", "a/1: paused"),
    ("resume", "a/1: running"),
]


@pytest.mark.parametrize(("command", "said"), ORDERS)
def test_an_operation_goes_to_the_journey_with_who_and_why(run: Run, client: Client, command: str, said: str):
    client.answer = {"state": said.partition(": ")[2], "at": "hook"}
    ran = run(command, "a/1", "--reason", "incident 42", "--operator", "ann")
    assert (ran.status, ran.out, ran.err) == (0, f"{said}\n", "")
    assert client.asked == [(command, "a/1", {"operator": "ann", "reason": "incident 42"})]


def test_an_operation_that_is_refused_is_status_1(run: Run, client: Client):
    client.answer = NotAccepted("a/1", "the journey is over")
    ran = run("retry", "a/1", "--reason", "x")
    assert (ran.status, ran.out, ran.err) == (1, "", "scenario: a/1: the journey is over\n")


def test_a_journey_that_is_held_is_paused_as_well(run: Run, client: Client):
    client.answer = {"state": "held", "at": "hook"}
    assert run("pause", "a/1", "--reason", "x").out == "a/1: held, and paused as well\n"


def test_a_skip_may_name_its_step(run: Run, client: Client):
    run("skip", "a/1", "--reason", "x", "--operator", "ann", "--step", "hook")
    assert client.asked == [("skip", "a/1", {"operator": "ann", "reason": "x", "step": "hook"})]


def test_the_operator_is_who_is_logged_in(run: Run, client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOGNAME", "zoe")
    run("pause", "a/1", "--reason", "x")
    assert client.asked[0][2]["operator"] == "zoe"


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch):
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert options.login().startswith("user ")
