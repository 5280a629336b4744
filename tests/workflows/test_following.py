"""Journeys that follow newer versions of their scenario."""

import asyncio
from typing import Any

from temporalio.client import WorkflowHandle

from activities.interface import Delivery, Sent
from tests.workflows.conftest import WHO, Stage

A, B, C, D = (f"{{sms: {name}, text: hi}}" for name in "abcd")
Handle = WorkflowHandle[Any, dict[str, Any]]


def scenario(*steps: str, more: str = "") -> str:
    return f"scenario: led\ntrigger: segment\n{more}steps:\n" + "".join(f"  - {step}\n" for step in steps)


def told(result: dict[str, Any]) -> list[str]:
    return [f"{step['id']} {step['outcome']}" for step in result["steps"]]


async def begin(stage: Stage, *steps: str) -> Handle:
    await stage.publish(scenario(*steps), "follow")
    handle = await stage.start("led")
    await stage.until(handle, "waiting")
    return handle


async def asked(handle: Handle) -> int:
    """How often the journey asked for a newer version."""
    history = await handle.fetch_history()
    markers = [event.marker_recorded_event_attributes for event in history.events]
    return sum(b'"renew"' in one.details["data"].payloads[0].data for one in markers if "data" in one.details)


async def test_it_takes_the_newest_version_behind_the_step_that_was_done(stage: Stage) -> None:
    handle = await begin(stage, A, "{wait: 2d}", B)
    await stage.publish(scenario(A, "{wait: 9d}", C), "follow")
    await stage.publish(scenario(A, "{wait: 9d}", C, B, D), "follow")
    result = await stage.result(handle)
    assert (result["version"], told(result)) == (
        "led@3",
        ["a delivered", "wait-2 waited", "c delivered", "b delivered", "d delivered"],
    )
    assert [(attempt.delivery.step, attempt.delivery.scenario) for attempt in stage.channels.attempts] == [
        ("a", "led@1"),
        ("c", "led@3"),
        ("b", "led@3"),
        ("d", "led@3"),
    ]
    [entry] = await stage.store.entries(scenario="led")
    assert entry.version == 3
    assert await asked(handle) == 5, "behind each step"


async def test_it_follows_no_further_than_a_version_whose_journeys_stay(stage: Stage) -> None:
    handle = await begin(stage, A, "{wait: 2d}", B, "{wait: 2d}", C)
    await stage.publish(scenario(A, "{wait: 2d}", B, "{wait: 2d}", D))
    await stage.environment.sleep(2 * 86400 + 60)
    await stage.until(handle, "waiting")
    await stage.publish(scenario(A, "{wait: 2d}", B, "{wait: 2d}", A.replace("a", "e")), "follow")
    result = await stage.result(handle)
    assert (result["version"], told(result)[-1]) == ("led@2", "d delivered")


async def test_a_journey_that_stays_asks_for_nothing(stage: Stage) -> None:
    await stage.publish(scenario(A, "{wait: 2d}", B))
    handle = await stage.start("led")
    await stage.until(handle, "waiting")
    await stage.publish(scenario(A, "{wait: 2d}", C), "follow")
    assert (await stage.result(handle))["version"] == "led@1"
    assert await asked(handle) == 0


async def test_it_stays_and_says_why_once_where_the_next_step_is_gone(stage: Stage) -> None:
    handle = await begin(stage, A, "{wait: 2d}", B, "{wait: 2d}", "{wait: 3d, id: last}", D)
    await stage.publish(scenario(A, "{wait: 2d}", "{sms: e, text: hi}", "{wait: 3d, id: last}", D, C), "follow")
    result = await stage.result(handle)
    assert (result["version"], told(result)[2:]) == (
        "led@2",
        ["b delivered", "wait-4 waited", "last waited", "d delivered", "c delivered"],
    )
    progress = await handle.query("progress")
    [passed] = progress["passed_over"]
    assert (passed["what"], passed["count"]) == ("version led@2", 1)
    assert passed["reason"] == "led@2: step 'b' no longer exists: map it, for example to e or c"


async def test_it_stays_where_a_later_step_reads_what_it_never_learnt(stage: Stage) -> None:
    handle = await begin(stage, "{wait: 1d}", "{wait: 2d}", A)
    poll = '{webhook: poll, url: "https://x.example.com", method: GET, save: {as: poll, when: json}}'
    tell = "{if: responses.poll.n > 3, then: [" + B + "]}"
    await stage.publish(scenario(poll, "{wait: 1d, id: wait-1}", "{wait: 2d, id: wait-2}", A, tell), "follow")
    result = await stage.result(handle)
    assert (result["version"], told(result)[-1]) == ("led@1", "a delivered")
    [passed] = (await handle.query("progress"))["passed_over"]
    assert passed["reason"] == "led@2: its steps read responses.poll, which the journey does not have"


async def test_a_store_that_does_not_answer_keeps_nobody_waiting(stage: Stage, monkeypatch: Any) -> None:
    handle = await begin(stage, "{wait: 2d}", A, B)

    async def fail(scenario: str) -> int:
        raise OSError("down")

    await stage.publish(scenario("{wait: 2d}", A, C, B), "follow")
    monkeypatch.setattr(stage.store, "newest", fail)

    async def up(delivery: Delivery, attempt: int) -> Sent:
        monkeypatch.undo()
        return Sent(attempt=attempt)

    stage.channels.scripts["a"] = up
    result = await stage.result(handle)
    assert (result["version"], told(result)[1:]) == ("led@2", ["a delivered", "c delivered", "b delivered"])
    assert stage.channels.of("a")[0].delivery.scenario == "led@1"


async def test_an_operators_migration_goes_first(stage: Stage) -> None:
    gate = asyncio.Event()

    async def hold(delivery: Delivery, attempt: int) -> Sent:
        await gate.wait()
        return Sent(attempt=attempt)

    stage.channels.scripts["a"] = hold
    await stage.publish(scenario(A, B), "follow")
    handle = await stage.start("led")
    await stage.attempted("a")
    for steps in ((C,), (D, C)):
        await stage.publish(scenario(A, B, *steps), "follow")
    await stage.operate(handle, "migrate", {**WHO, "version": 2})
    gate.set()
    result = await stage.result(handle)
    assert told(result) == ["a delivered", "b delivered", "d delivered", "c delivered"], "behind b it follows again"
    assert [attempt.delivery.scenario for attempt in stage.channels.of("b")] == ["led@2"]
