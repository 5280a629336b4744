"""Operations on journeys: which, how fast, asked before, counted afterwards; versions, and moving into another."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from cli import options
from runtime.store import Store
from service.errors import NotAccepted, NotAnswered
from service.index import EVERY, JourneyFilter
from service.operations.migration import StepPopulation
from service.operations.uncertain import UncertainView
from tests.cli.conftest import Client, Run, Stored
from tests.cli.samples import FLIGHT, FORECAST, GONE, LATEST, LISTED, STAYS
from tests.factories import admission_request
from tests.fakes import Ran, Terminal
from tests.journey import START

ANN = {"operator": "ann", "reason": "incident 42"}


@pytest.mark.parametrize(
    ("command", "state", "said"),
    [
        ("retry", "running", "step hook is retried"),
        ("skip", "running", "step hook is skipped"),
        ("skip --step hook", "running", "step hook is skipped"),
        ("leave", "leaving", "leaving"),
        ("pause", "paused", "paused"),
        ("pause", "held", "held, and paused as well"),
        ("resume", "running", "running"),
    ],
)
def test_an_operation_goes_to_the_journey_with_who_and_why(
    run: Run, client: Client, monkeypatch: pytest.MonkeyPatch, command: str, state: str, said: str
):
    monkeypatch.setenv("LOGNAME", "ann")  # who is logged in
    client.answer = {"state": state, "at": "hook"}
    name, *step = command.split()
    assert run(name, "a/1", "--reason", "incident 42", *step) == Ran(0, f"a/1: {said}\n", "")
    assert client.asked == [(name, "a/1", ANN | ({"step": "hook"} if step else {}))]


def test_an_operation_that_is_refused_is_status_1(run: Run, client: Client):
    client.answer = NotAccepted("a/1", "the journey is over")
    assert run("retry", "a/1", "--reason", "x") == Ran(1, "", "scenario: a/1: the journey is over\n")


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch):
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert options.login().startswith("user ")


HELD = [LISTED.model_copy(update={"id": f"a/{number}"}) for number in range(3)]
MANY = ("--destination", "wax", "--reason", "wax is back", "--operator", "ann")
WHO = {"operator": "ann", "reason": "wax is back"}


@pytest.mark.parametrize("command", ["retry", "skip", "leave"])
def test_all_held_ones_that_fit_get_the_operation_each_with_its_step(run: Run, client: Client, command: str):
    client.shown["select"] = HELD
    options = ("--scenario", "a", "--since", "2026-03-31T08:00Z", "--held-reason", "exhausted", "--step", "hook")
    ran = run(command, *MANY, *options, "--rate", "600/m", "--limit", "7")
    assert ran == Ran(0, "accepted 3\n", "")
    which = JourneyFilter(scenario="a", destination="wax", since=START, reason="exhausted", step="hook")
    assert client.asked[:2] == [("select", command, which, {"ask": False, "limit": 7}), ("batch", 10.0)]
    assert client.asked[2:] == [(command, f"a/{number}", "hook", WHO) for number in range(3)]


@pytest.mark.parametrize(
    ("command", "more"), [("pause", {}), ("resume", {}), ("leave --all", {"everybody": True})], ids=lambda one: str(one)
)
def test_those_under_way_get_the_operation_wherever_they_are(
    run: Run, client: Client, command: str, more: dict[str, bool]
):
    client.shown["select"] = [
        LISTED.model_copy(update={"id": name, "state": state, "step": step})
        for name, state, step in (("a/1", "running", "hook"), ("a/2", "paused", "pause"))
    ]
    line = (*command.split(), "--scenario", "a", "--reason", "wax is back", "--operator", "ann")
    assert run(*line) == Ran(0, "accepted 2\n", "")
    verb = command.split()[0]
    wanted = {"ask": False, "limit": EVERY, **more}
    assert client.asked[0] == ("select", verb, JourneyFilter(scenario="a"), wanted)
    assert client.asked[2:] == [(verb, name, None, WHO) for name in ("a/1", "a/2")]
    assert "paused" in run(*line, "--dry-run").out


@pytest.mark.parametrize(("given", "version"), [("4", 4), ("newest", "newest")])
def test_a_retry_may_render_anew_by_another_version(run: Run, client: Client, given: str, version: int | str):
    client.shown["select"] = HELD[:1]
    run("retry", *MANY, "--with-version", given)
    assert client.asked[-1] == ("retry", "a/0", "hook", {**WHO, "version": version})
    run("retry", "a/7", "--reason", "x", "--operator", "ann", "--with-version", given)
    assert client.asked[-1] == ("retry", "a/7", {"operator": "ann", "reason": "x", "version": version})


@pytest.mark.parametrize(
    ("given", "more", "end"),
    [
        ((), {}, "left out, unless --unknown is given"),
        (("--unknown",), {"unknown": True}, "what the log has as delivered is not sent again"),
    ],
)
def test_a_retry_of_many_says_how_many_may_have_been_delivered(
    run: Run, client: Client, given: tuple[str, ...], more: dict[str, bool], end: str
):
    client.shown["select"], client.may_have_arrived = HELD, UncertainView(delivered=1_000, failed=2, nothing=3)
    log = "the log of attempts says delivered for 1,000, failed for 2, nothing for 3"
    note = f"scenario: 1,005 messages may have been delivered ({log}): {end}\n"
    ran = run("retry", *MANY, *given)
    assert ran == Ran(0, "accepted 3\n", note)
    assert client.asked[0] == (
        "select",
        "retry",
        JourneyFilter(destination="wax"),
        {"ask": False, "limit": EVERY, **more},
    )
    assert run("retry", *MANY, *given, "--dry-run").err.startswith(note)
    assert "may have been" not in run("skip", *MANY).err
    client.may_have_arrived = UncertainView()
    assert run("retry", *MANY, *given).err == ""


def test_only_a_retry_of_many_leaves_out_what_may_have_been_delivered(run: Run, client: Client):
    ran = run("retry", "a/7", "--reason", "x", "--unknown")
    assert (ran.status, client.asked) == (2, [])
    assert "--unknown is for many journeys" in ran.err


def test_those_that_refuse_are_said_and_counted_and_make_the_status_1(run: Run, client: Client):
    client.shown["select"] = HELD
    why = "nothing to retry: the journey is not held"
    client.answers = {"a/1": NotAccepted("a/1", why)}
    ran = run("retry", *MANY, "--format", "json")
    assert (ran.status, ran.err) == (1, f"scenario: a/1: {why}\n")
    refused = [{"id": "a/1", "why": why}]
    assert ran.json == {"operation": "retry", "accepted": ["a/0", "a/2"], "refused": refused, "left": 0}
    many = client.shown["select"] = [LISTED.model_copy(update={"id": f"a/{number}"}) for number in range(100)]
    client.answers = {item.id: NotAccepted(item.id, "the journey is over") for item in many[:25]}
    ran = run("retry", *MANY)
    assert (ran.status, ran.out) == (1, "accepted 75, refused 25 (the journey is over)\n")
    assert ran.err.splitlines()[19:] == ["scenario: a/19: the journey is over", "scenario: … and 5 more"]
    client.answers = {item.id: NotAnswered(item.id, "no worker answered") for item in many}
    ran = run("retry", *MANY)  # given up
    assert (ran.status, ", not asked " in ran.out) == (1, True)
    advice = "no worker answers: check that one is running, and run the command again for the remaining journeys\n"
    assert advice in ran.err


def test_what_is_interrupted_tells_how_far_it_came(
    run: Run, client: Client, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
):
    # An event loop that is still open in this process may handle it instead.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    client.shown["select"] = HELD
    client.slow = {"a/2": 60}
    ran = asyncio.run

    def interrupted(main: Coroutine[Any, Any, Any]) -> Any:
        async def with_signal() -> Any:
            interrupting = asyncio.create_task(interrupt())
            try:
                return await main
            finally:
                interrupting.cancel()

        async def interrupt() -> None:
            while ("retry", "a/2", "hook", WHO) not in client.asked:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.1)  # the others were asked before it, and have answered
            signal.raise_signal(signal.SIGINT)

        return ran(with_signal())

    monkeypatch.setattr(asyncio, "run", interrupted)
    ended = run("retry", *MANY)
    assert (ended.status, ended.out) == (130, "accepted 2, not asked 1\n")
    assert ended.err == "scenario: run the command again for the remaining journeys\n"


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_where_none_fits_the_status_is_1(run: Run, client: Client, more: tuple[str, ...]):
    ran = run("skip", *MANY, *more)
    assert (ran.status, ran.out) == (1, "")
    said = "skip would be sent to 0 journeys: nothing was done" if more else "nothing to skip: no journey matches"
    assert ran.err == f"scenario: {said}\n"
    empty: Any = [] if more else {"operation": "skip", "accepted": [], "refused": [], "left": 0}
    assert run("skip", *MANY, *more, "--format", "json").json == empty


@pytest.mark.parametrize(("typed", "more", "status"), [("y\n", (), 0), ("\n", (), 1), ("", (), 1), ("", ("--yes",), 0)])
def test_at_a_terminal_it_asks_first(
    run: Run, client: Client, monkeypatch: pytest.MonkeyPatch, typed: str, more: tuple[str, ...], status: int
):
    client.shown["select"] = HELD
    screen = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", Terminal(typed))
        patch.setattr(sys, "stderr", screen)
        patch.setenv("TERM", "dumb")
        ran = run("leave", *MANY, *more)
    assert ran.status == status
    said = screen.getvalue()
    assert ("leave 3 journeys, 10 a second? [y/N]" in said) is not bool(more)
    assert ("nothing was done" in said) is bool(status)
    assert bool(client.asked[1:]) is not bool(status)


def test_retune_changes_every_delivery_under_way(run: Run, client: Client):
    client.shown["in_flight"] = [FLIGHT]
    options = ("--initial-interval", "1s", "--backoff-coefficient", "2", "--maximum-interval", "10m")
    ran = run("retune", "wax", *options, "--maximum-attempts", "0", "--deadline", "3d", *MANY[2:], "--rate", "0.5/s")
    assert (ran.status, ran.out, ran.err) == (0, "accepted 1\n", "")
    retry = {
        "initial_interval": 1.0,
        "backoff_coefficient": 2.0,
        "maximum_interval": 600.0,
        "maximum_attempts": 0,
        "deadline": 259_200.0,
    }
    assert client.asked == [
        ("in_flight", "wax", {"limit": EVERY}),
        ("batch", 0.5),
        ("retune", "a/7", "hook", {**WHO, "destination": "wax", "retry": retry}),
    ]


def test_retune_names_the_destination_as_the_journey_does(run: Run, client: Client):
    latest = replace(LATEST, channel="email", destination="mx.example.com")
    client.shown["in_flight"] = [replace(FLIGHT, latest=latest, goes_to="email")]
    run("retune", "mx.example.com", "--deadline", "1h", "--reason", "x")
    assert client.asked[-1][3]["destination"] == "email"


def test_a_dry_run_of_retune_looks_up_a_few_of_many_and_says_so(run: Run, client: Client):
    client.shown["in_flight"], client.unseen = [FLIGHT], 20_000
    ran = run("retune", "wax", "--deadline", "5d", "--reason", "x", "--dry-run")
    assert (ran.status, client.asked) == (0, [("retune_candidates", "wax", {"limit": EVERY})])
    assert ran.err.splitlines()[1] == (
        "scenario: 20,000 more journeys may have a delivery without an attempt so far: the operation checks each of "
        "them"
    )


@pytest.fixture
def published(run: Run, stored: Stored) -> Run:
    """Publish two scenarios; one has two versions, each with a journey."""

    async def fill(store: Store) -> None:
        for number in (1, 2):
            await store.publish("sale", {"n": number}, {}, f"d{number}", "ann")
            await store.admit(admission_request(str(number), "sale", version=number))
        await store.publish("welcome", {}, {}, "d", "bob", journeys="follow")

    stored(fill)
    return run


def told(run: Run, *arguments: str) -> list[tuple[str, int, int, str | None]]:
    found = run("versions", *arguments, "--format", "json").json
    return [(item["scenario"], item["version"], item["under_way"], item["reason"]) for item in found]


def test_each_newest_version_is_listed_and_the_older_ones_that_are_followed(published: Run):
    assert told(published) == [("sale", 2, 1, None), ("sale", 1, 1, None), ("welcome", 1, 0, None)]
    assert told(published, "welcome") == [("welcome", 1, 0, None)]
    assert [item["journeys"] for item in published("versions", "--format", "json").json] == ["pin", "pin", "follow"]
    lines = [line.split() for line in published("versions").out.splitlines()]
    assert [(line[0], line[3:]) for line in lines[2:]] == [
        ("sale@2", ["ann", "pin", "1"]),
        ("sale@1", ["ann", "pin", "1", "older"]),
        ("welcome@1", ["bob", "follow", "0"]),
    ]


def test_a_scenario_is_closed_and_opened_again(published: Run):
    ran = published("close", "sale", "--reason", "it is over", "--operator", "ann")
    assert (ran.status, ran.out) == (0, "sale is closed: new entries are refused, and running journeys continue\n")
    assert published("close", "sale").out.startswith("sale was closed already: ")
    assert told(published, "sale") == [("sale", 2, 1, "it is over"), ("sale", 1, 1, "it is over")]
    assert "by ann: it is over" in published("versions").out
    ran = published("open", "sale")
    assert (ran.status, ran.out) == (0, "sale is open again: contacts are admitted\n")
    assert published("open", "sale").out == "sale was not closed: contacts are admitted\n"


def test_a_dry_run_counts_and_sends_nothing(run: Run, client: Client):
    client.shown["forecast_migration"] = FORECAST
    run("migrate", "a", "--from", "3", "--at", "wait-2", "--state", "waiting", "--map", "x=y", "--dry-run")
    run("migrate", "a", "--to", "4", "--limit", "9", "--dry-run")
    wanted: dict[str, Any] = {"to": "newest", "version": 3, "step": "wait-2", "state": "waiting", "names": {"x": "y"}}
    other: dict[str, Any] = {"to": 4, "version": None, "step": None, "names": {}, "limit": 9}
    assert client.asked == [("forecast_migration", "a", one) for one in (wanted, other)]


def test_those_that_fit_get_the_operation_and_the_others_are_said(run: Run, client: Client):
    client.shown["forecast_migration"] = FORECAST
    ran = run("migrate", "a", "--operator", "ann", "--waits", "restart", "--rate", "20/s")
    assert (ran.status, ran.out) == (1, "accepted 3\n")
    *counts, last = ran.err.splitlines()
    assert counts == run("migrate", "a", "--dry-run").out.splitlines()
    assert last == "scenario: 2 journeys left in their version, as said above"
    given = {"operator": "ann", "reason": "to continue in a@4", "version": 4, "waits": "restart"}
    assert client.asked[1:5] == [("batch", 20.0), *(("migrate", f"a/{number}", None, given) for number in (3, 4, 5))]


def test_what_is_mapped_and_where_goes_along(run: Run, client: Client):
    client.shown["forecast_migration"] = FORECAST.model_copy(update={"standing": [STAYS]})
    mapped = ("--map", "hook=hook2", "--map", "b = c")
    ran = run("migrate", "a", "--at", "hook", *mapped, "--reason", "x", "--operator", "ann", "--format", "json")
    assert ran.status == 0
    assert ran.json == {"operation": "migrate", "accepted": ["a/3"], "refused": [], "left": 0}
    given = {"operator": "ann", "reason": "x", "version": 4, "waits": "keep", "map": {"hook": "hook2", "b": "c"}}
    assert client.asked[-1] == ("migrate", "a/3", "hook", given)


def test_those_that_refuse_say_why(run: Run, client: Client):
    client.shown["forecast_migration"] = FORECAST.model_copy(update={"standing": [STAYS]})
    client.answers = {"a/3": NotAccepted("a/3", "'mail' would be sent again")}
    ran = run("migrate", "a")
    assert (ran.status, ran.out) == (1, "accepted 0, refused 1 ('mail' would be sent again)\n")


@pytest.mark.parametrize(("standing", "why"), [((GONE,), "no journey matches"), ((), "no journey is running there")])
def test_where_nobody_can_go_on_nothing_is_sent(
    run: Run, client: Client, standing: tuple[StepPopulation, ...], why: str
):
    client.shown["forecast_migration"] = FORECAST.model_copy(update={"standing": standing})
    ran = run("migrate", "a")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.endswith(f"scenario: nothing to migrate: {why}\n")
    assert len(client.asked) == 1


def test_one_journey_is_named_by_its_id(run: Run, client: Client):
    client.answer = {"state": "waiting", "scenario": "a@3", "moves_to": "a@4"}
    ran = run("migrate", "a/7/K1", "--to", "4", "--map", "x=y", "--at", "wait-2", "--operator", "ann")
    assert (ran.status, ran.out) == (0, "a/7/K1: continues in a@4\n")
    given: dict[str, Any] = {"operator": "ann", "reason": "to continue in version 4", "version": 4}
    assert client.asked == [("migrate", "a/7/K1", {**given, "map": {"x": "y"}, "waits": "keep", "step": "wait-2"})]
