"""Operators at work, by both command lines: ours and Temporal's own, on the real server."""

import asyncio
import os
import re
import shlex
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response

from runtime.local.receiver import Receiver
from service.client import Entered, ScenarioClient
from service.errors import NotEntered
from tests.e2e.conftest import (
    ROOT,
    Command,
    Gate,
    Server,
    Stand,
    Stands,
    command,
    entry,
    environment,
    outcomes,
    publish,
    until,
    until_found,
    until_held,
    until_received,
)
from tests.fakes import Ran

SCENARIO = """
scenario: NAME
trigger: segment
steps:
  - webhook: hook
    url: https://NAME.example.com/hook
    body: {contact: "{{ contact.id }}"}
    retry: {initial_interval: 1h, backoff_coefficient: 2, maximum_interval: 6h}
"""


@pytest.fixture
def scenario(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Our command line beside the server and the store of the stand, in a thread of this process.

    That it is a program of its own is for the tests of `cli/program.py`.
    """
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)
    for name, value in server.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SCENARIO_STORE", f"sqlite+aiosqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("LOGNAME", "ann")

    async def run(*arguments: str) -> Ran:
        async with asyncio.timeout(60):
            return await asyncio.to_thread(command, *arguments)

    return run


async def enter(stand: Stand, folder: Path, name: str, *contacts: int, scenario: str = SCENARIO) -> list[str]:
    await publish(stand.client, folder, scenario.replace("NAME", name))
    entered = await asyncio.gather(*(stand.client.enter(entry(name, contact), settle=20) for contact in contacts))
    return [journey.id for journey in entered]


async def until_retrying(client: ScenarioClient, journey: str) -> None:
    await until(partial(client.show, journey), lambda seen: seen.attempts and seen.pending[0].next_try_at)


async def result(client: ScenarioClient, journey: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        return await client.temporal.get_workflow_handle(journey, result_type=dict).result()


async def test_all_that_a_receiver_held_up_are_tried_again_once_it_is_mended(
    stand: Stands, scenario: Command, tmp_path: Path
) -> None:
    host, contacts = "many.example.com", range(1, 7)
    async with stand(fail={f"/{host}": [422]}) as standing:
        journeys = await enter(standing, tmp_path, "many", *contacts)
        [other] = await enter(standing, tmp_path, "few", 1)
        await until_held(standing.client, len(journeys), destination=host)

        listed = await scenario("list", "--held", "--destination", host, "--reason", "permanent", "--since", "1h")
        assert (listed.status, listed.out.count("permanent"), listed.err) == (0, 6, "")
        assert (await scenario("list", "--held", "--destination", host, "--since", "2099-01-01")).status == 1

        wanted = ("retry", "--destination", host, "--since", "1h", "--reason", "it is mended")
        dry = await scenario(*wanted, "--dry-run")
        assert dry.err == "scenario: retry would be sent to 6 journeys: nothing was done\n"
        assert len(standing.receiver.requests(f"/{host}")) == 6
        ran = await scenario(*wanted, "--rate", "50/s")
        assert (ran.status, ran.out, ran.err) == (0, "accepted 6\n", "")

        for journey in journeys:
            assert outcomes(await result(standing.client, journey)) == [("hook", "delivered")]
        assert (await result(standing.client, other))["outcome"] == "finished"
        sent = [(call.header("webhook-id"), call.body) for call in standing.receiver.requests(f"/{host}")]
        assert sorted(sent) == sorted([*{*sent}, *{*sent}])  # each twice, with the same bytes
        assert len(sent) == 12
        await until_found(standing.client.temporal, "ScenarioName = 'many'", 0)
        again = await scenario(*wanted)
        assert (again.status, again.err) == (1, "scenario: nothing to retry: no journey matches\n")


async def test_journeys_are_paused_and_resumed_by_scenario(stand: Stands, scenario: Command, tmp_path: Path) -> None:
    async with stand(fail={"/stopped.example.com": [422]}) as standing:
        journeys = await enter(standing, tmp_path, "stopped", 1, 2)
        await until_held(standing.client, 2, destination="stopped.example.com")
        wanted = ("--destination", "stopped.example.com", "--scenario", "stopped", "--reason", "x")
        assert (await scenario("pause", *wanted)).out == "accepted 2\n"
        assert (await scenario("pause", *wanted)).err == "scenario: nothing to pause: no journey matches\n"
        assert (await scenario("resume", *wanted)).out == "accepted 2\n"
        assert (await scenario("leave", *wanted)).out == "accepted 2\n"
        for journey in journeys:
            assert (await result(standing.client, journey))["reason"] == "left by ann: x"


async def test_deliveries_in_a_back_off_are_retuned(stand: Stands, scenario: Command, tmp_path: Path) -> None:
    async with stand(fail={"/slow.example.com": [503, 503]}) as standing:
        waits = SCENARIO.replace("steps:", "steps:\n  - wait: 1s") + "  - wait: 30d\n"
        journeys = await enter(standing, tmp_path, "slow", 1, 2, scenario=waits)
        for journey in journeys:
            await until_retrying(standing.client, journey)
        retrying = "ScenarioName = 'slow' AND JourneyState = 'retrying' AND Destination = 'slow.example.com'"
        async with asyncio.timeout(10):  # for operators it is true by then
            await until_found(standing.client.temporal, f"{retrying} AND StepId = 'hook'", 2)
        listed = (await scenario("list", "--scenario", "slow", "--state", "retrying", "--format", "json")).json
        why = "slow.example.com answered 503"
        assert [(item["state"], item["step"], item["reason"]) for item in listed] == [("retrying", "hook", why)] * 2
        [version] = (await standing.client.stats("slow")).versions
        assert [(step.id, step.now and (step.now.waiting, step.now.retrying)) for step in version.steps] == [
            ("wait-1", (0, 0)),
            ("hook", (0, 2)),
            ("wait-3", (0, 0)),
        ]
        (now,) = (await scenario("destinations", "--now", "--format", "json")).json
        assert (now["destination"], now["waiting"], now["left_alone"]) == ("slow.example.com", 2, False)
        policy = ("retune", "slow.example.com", "--initial-interval", "1s", "--reason", "it is back")
        dry = await scenario(*policy, "--dry-run")
        assert dry.err == "scenario: retune would be sent to 2 deliveries: nothing was done\n"
        ran = await scenario(*policy)
        assert (ran.status, ran.out, ran.err) == (0, "accepted 2\n", "")
        await until_found(standing.client.temporal, "ScenarioName = 'slow' AND StepId = 'wait-3'", 2)
        await until_found(standing.client.temporal, retrying, 0)
        for journey in journeys:
            # The reports of two attempts would be two signals, if the server kept both.
            history = await standing.client.temporal.get_workflow_handle(journey).fetch_history()
            kinds = [event.WhichOneof("attributes") for event in history.events]
            assert kinds.count("workflow_execution_signaled_event_attributes") == 1
        assert (await scenario(*policy)).err == "scenario: nothing to retune: no delivery matches\n"
        (sent,) = (await scenario("show", journeys[0], "--rendered", "hook", "--format", "json")).json["deliveries"]
        received = [got.body for got in standing.receiver.requests() if got.header("webhook-id") == sent["delivery_id"]]
        assert set(received) == {sent["request"]["body"].encode()}
        assert (await scenario("close", "slow", "--reason", "it is over")).status == 0
        with pytest.raises(NotEntered, match=r"^slow is closed since .*: nobody is admitted \(it is over\)$"):
            await enter(standing, tmp_path, "slow", 3)


def documented(page: str, beginning: str) -> list[list[str]]:
    text = re.sub(r"\\\n\s*", "", (ROOT / "docs" / page).read_text("utf-8"))
    lines = (line.strip() for line in text.splitlines() if line.startswith("    "))
    return [shlex.split(line) for line in lines if line.startswith(beginning)]


DOCUMENTED = (
    (("update-options",), "-w"),
    (("update-options",), "--query"),
    (("reset",), "-w"),
    (("reset",), "--query"),
    (("pause", "unpause"), "-w"),  # there is no pause by query
)


async def test_the_documented_commands_of_temporal_take_effect_during_a_back_off(
    stand: Stands, temporal: Command, tmp_path: Path
) -> None:
    async def told(standing: Stand, verbs: tuple[str, ...], by: str) -> None:
        name = f"{verbs[0]}-{by.strip('-')}"
        running = "ScenarioName = '{}' AND ExecutionStatus = 'Running'"
        given = {
            "post-purchase/3028687/CGX0094": f"{name}/1",
            "whatsapp": "hook",
            running.format("post-purchase"): running.format(name),
        }
        [journey] = await enter(standing, tmp_path, name, 1)
        await until_retrying(standing.client, journey)
        for verb in verbs:
            commands = documented("run/retrying.md", f"temporal activity {verb}")
            [words] = {tuple(words) for words in commands if by in words}
            given_words = partial(temporal, *(given.get(word, word) for word in words[1:]))
            ran = await until(
                given_words, lambda ran: "is reached" not in ran.err
            )  # a namespace has one batch at a time
            assert (ran.status, ran.err) == (0, "")
        await until_received(standing.receiver, f"/{name}.example.com", 2)
        if verbs == ("update-options",):  # the third attempt comes soon too
            assert outcomes(await result(standing.client, journey)) == [("hook", "delivered")]

    async with stand(fail={f"/{verbs[0]}-{by.strip('-')}.example.com": [503, 503] for verbs, by in DOCUMENTED}) as up:
        await asyncio.gather(*(told(up, *command) for command in DOCUMENTED))


# ---- deliveries in progress are retuned, by the update that `scenario retune` sends

RETUNED = """
scenario: NAME
trigger: segment
steps:
  - webhook: hook
    url: https://NAME.example.com/hook
    body: {}
    timeout: LONGEST
    retry: {initial_interval: 5h, maximum_attempts: LIMIT, deadline: 2d}
"""
FAST = {"initial_interval": "1s", "backoff_coefficient": 1}
WAYS: dict[str, tuple[int, str, dict[str, Any], int]] = {
    # The most attempts, the longest attempt, what is changed, and the attempts that are made.
    "soon": (0, "15s", FAST, 3),
    "unlimited": (2, "15s", {**FAST, "maximum_attempts": 0}, 3),
    "raised": (2, "15s", {**FAST, "maximum_attempts": 3}, 3),
    "lowered": (0, "15s", {**FAST, "maximum_attempts": 2}, 2),
    "late": (0, "1s", {"deadline": "1s"}, 0),  # an attempt at the deadline may take as long
    # `next_retry_delay` overrides the policy for one interval, until an operator says otherwise.
    "asked": (0, "15s", FAST, 2),
}
DELIVERED = {"soon", "unlimited", "raised", "asked"}


def retuned(name: str, limit: int, longest: str) -> str:
    return RETUNED.replace("NAME", name).replace("LIMIT", str(limit)).replace("LONGEST", longest)


async def retune(entered: Entered, retry: dict[str, Any]) -> dict[str, Any]:
    argument = {"operator": "ann", "reason": "incident 42", "retry": retry}
    return await cast("Any", entered.handle).execute_update("retune", argument)


class Asking(Receiver):
    """It asks for a pause of hours at one path."""

    async def _receive(self, request: Request) -> Response:
        response = await super()._receive(request)
        if request.url.path.startswith("/asked."):
            response.headers["retry-after"] = "72000"
        return response


async def test_what_a_delivery_in_a_back_off_of_hours_is_told_takes_effect(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(up: Stand, name: str, limit: int, longest: str, retry: dict[str, Any], attempts: int) -> None:
        await publish(up.client, tmp_path, retuned(name, limit, longest))
        entered = await up.client.enter(entry(name))
        await until_received(up.receiver, f"/{name}.example.com", 1)
        # The server has to learn that the attempt failed.
        await until(entered.handle.describe, lambda run: run.raw_description.pending_activities[0].attempt > 1)
        progress = await retune(entered, retry)
        assert progress["operations"][0]["details"] == {"retry": retry}
        if name in DELIVERED:
            result = await entered.handle.result()
            assert (outcomes(result), result["steps"][0]["attempts"]) == ([("hook", "delivered")], attempts)
            return
        progress = await until(lambda: entered.handle.query("progress"), lambda seen: seen["state"] == "held")
        waiting = progress["waiting"]
        assert (waiting["cause"], waiting["destination"]) == ("exhausted", f"{name}.example.com")
        assert list((await entered.handle.describe()).search_attributes["HeldReason"]) == ["exhausted"]
        if attempts:
            assert (waiting["attempts"], waiting["status"]) == (attempts, 503)
        await entered.handle.terminate()

    monkeypatch.setattr("tests.e2e.conftest.Receiver", Asking)
    fail = {f"/{name}.example.com": [503] if name == "asked" else [503, 503] for name in WAYS}
    async with stand(fail=fail) as up, asyncio.timeout(120):
        await asyncio.gather(*(told(up, name, *way) for name, way in WAYS.items()))


async def test_an_attempt_under_way_is_not_disturbed(stand: Stands, tmp_path: Path) -> None:
    async with Gate(hold=1) as gate, stand(gate=gate) as up:
        await publish(up.client, tmp_path, retuned("now", 0, "1m"))
        entered = await up.client.enter(entry("now"))
        await gate.called(1)
        (found,) = await up.client.in_flight("now.example.com")
        assert (found.journey, found.latest, found.pending.state) == (entered.id, None, "started")
        await retune(entered, FAST)
        gate.opened.set()
        async with asyncio.timeout(60):
            result = await entered.handle.result()
        assert (outcomes(result), result["steps"][0]["attempts"]) == ([("hook", "delivered")], 1)
        assert len(gate.calls) == 1
