"""Journeys that an older version began, ended by this one.

Run by hand, from the project's folder, with a checkout of the older version that has its own `.venv`:
``python -m tests.bench.upgrade ../older``. Its worker begins journeys of every kind of step and leaves them in a wait,
a back-off, a hold, a pause, and after continue-as-new; then this version's worker takes over, on the same server and
store. It fails where a step ends otherwise than it should, a delivery arrives twice or under two ids, or a workflow
task fails.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client, WorkflowHandle

from activities.interface import JOURNEYS
from runtime.connection import connect
from runtime.local import devserver
from runtime.local.devserver import DevServer
from runtime.local.inbox import Inbox
from runtime.local.receiver import Receiver
from runtime.process.exit import leave
from tests.bench.stops import say
from tests.e2e.conftest import ROOT, SENDER, environment

_TAIL: Final = """
  - if: contact.email contains '@'
    then:
      - email: mail
        subject: "{{ contact.id }}"
        text: "{{ event.sku }}"
    else:
      - exit: never
  - sms: text
    text: "{{ contact.id }}"
  - webhook: last
    url: https://hooks.example.com/last
    body: {contact: "{{ contact.id }}", answer: "{{ responses.told.n }}"}
  - exit: done
"""
_FIRST: Final = """
scenario: {name}
trigger: event
steps:
  - webhook: first
    url: https://hooks.example.com/{path}
    body: {{contact: "{{{{ contact.id }}}}"}}
    retry: {{initial_interval: {pause}, backoff_coefficient: 1}}
    save: {{as: told}}
"""
_WAIT: Final = "  - wait: 40s\n"
_EVENT: Final = "  - wait_for: go\n    for: 1h\n    then: []\n    else: [{exit: never}]\n"


def _scenario(name: str, path: str = "ok", pause: str = "1s", then: str = "") -> str:
    return _FIRST.format(name=name, path=path, pause=pause) + then + _TAIL


SCENARIOS: Final = {
    "wait": _scenario("wait", then=_WAIT),
    "wait-for": _scenario("wait-for", then=_EVENT),
    "back-off": _scenario("back-off", "busy", "30s"),
    "held": _scenario("held", "refused"),
    "paused": _scenario("paused", then=_WAIT),
    "continued": _scenario("continued", then=_EVENT),
}
STEPS: Final = ("first", "mail", "text", "last")


async def _run(*command: str, cwd: Path, variables: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, env=variables)
    assert await process.wait() == 0, command


async def _working(
    stack: AsyncExitStack, root: Path, variables: dict[str, str], log: Path
) -> asyncio.subprocess.Process:
    """The worker of a checkout, once it is ready."""
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(str(root / ".venv" / "bin" / "python"), "-m", "tests.e2e.process"),
            cwd=log.parent,
            env=variables | {"PYTHONPATH": str(root)},
            stderr=errors,
        )

    async def end() -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()

    stack.push_async_callback(end)
    while "ready, polling" not in await asyncio.to_thread(log.read_text, "utf-8"):
        assert process.returncode is None, f"see {log}"
        await asyncio.sleep(0.05)
    return process


async def _state(handle: WorkflowHandle[Any, Any], wanted: str) -> None:
    async with asyncio.timeout(60):
        while (await handle.query("progress"))["state"] != wanted:
            await asyncio.sleep(0.1)


async def _begin(temporal: Client, each: int) -> dict[str, list[WorkflowHandle[Any, Any]]]:
    begun: dict[str, list[WorkflowHandle[Any, Any]]] = {}
    for number, name in enumerate(SCENARIOS):
        for one in range(each):
            who = {"id": f"{number}-{one}", "email": f"c{one}@example.com", "cellphone": f"+336{number:02}{one:06}"}
            trigger = {"type": "event", "event": {"name": "start", "properties": {"sku": "s-1"}}}
            entry = {"scenario": name, "contact": who, "trigger": trigger}
            begun.setdefault(name, []).append(
                await temporal.start_workflow(  # pyright: ignore[reportUnknownMemberType]
                    "Journey", entry, id=f"{name}/{who['id']}", task_queue=JOURNEYS, result_type=dict
                )
            )
    return begun


async def _leave_them_waiting(begun: dict[str, list[WorkflowHandle[Any, Any]]]) -> None:
    """Until each journey stands where it is to be taken over."""
    order = {"operator": "ann", "reason": "upgrade"}
    for handle in begun["paused"]:
        await _state(handle, "waiting")
        await handle.execute_update("pause", order)  # pyright: ignore[reportUnknownMemberType]
    for handle in begun["continued"]:
        for number in range(40):
            await handle.signal("event", {"name": "seen", "id": f"e-{number}"})
    for name, state in {"wait": "waiting", "wait-for": "waiting", "held": "held", "continued": "waiting"}.items():
        for handle in begun[name]:
            await _state(handle, state)


def _has_failed(event: HistoryEvent) -> bool:
    """Whether a workflow task failed; not where a signal came while a run was about to end."""
    cause = event.workflow_task_failed_event_attributes.cause
    unheard = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
    return event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED and cause != unheard


async def measure(older: Path, each: int) -> int:
    """Runs it, and tells how it went."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        devserver.DYNAMIC_CONFIG["limit.historyCount.suggestContinueAsNew"] = 40
        server = await stack.enter_async_context(DevServer(folder / "state"))
        inbox = await stack.enter_async_context(Inbox(folder / "inbox"))
        fail = {"/hooks.example.com/busy": (503,), "/hooks.example.com/refused": (422,)}
        receiver = await stack.enter_async_context(Receiver(fail=fail))
        variables = environment(
            TEMPORAL_ADDRESS=server.address,
            SCENARIO_STORE=f"sqlite+aiosqlite:///{folder / 'store.db'}",
            SCENARIO_SMTP=inbox.url,
            SCENARIO_MAIL_FROM=SENDER,
            SCENARIO_SMS="local:",
            TEST_RECEIVER=receiver.url,
        )
        for name, text in SCENARIOS.items():
            (folder / f"{name}.yaml").write_text(text, "utf-8")
        files = [f"{name}.yaml" for name in SCENARIOS]
        await _run(str(older / ".venv/bin/scenario"), "publish", *files, cwd=folder, variables=variables)
        old = await _working(stack, older, variables, folder / "older.log")
        temporal = await connect(server.address, interceptors=[])
        begun = await _begin(temporal, each)
        await _leave_them_waiting(begun)
        old.terminate()
        assert await old.wait() == 0
        say(f"{each * len(SCENARIOS)} journeys were begun by {older}, and left: {', '.join(SCENARIOS)}")

        await _working(stack, ROOT, variables, folder / "newer.log")
        for name, update in {"held": "retry_step", "paused": "resume"}.items():
            for handle in begun[name]:
                await handle.execute_update(update, {"operator": "ann", "reason": "upgraded"})  # pyright: ignore[reportUnknownMemberType]
        for handle in (*begun["wait-for"], *begun["continued"]):
            await handle.signal("event", {"name": "go", "properties": {"sku": "s-1"}})
        wrong = 0
        for name, handles in begun.items():
            ended, failed, runs = Counter[str](), 0, 0
            for handle in handles:
                try:
                    async with asyncio.timeout(90):
                        result = await handle.result()
                except TimeoutError:
                    wrong += 1
                    say(f"{name}: not over: {await handle.query('progress')}")
                    continue
                sent = [step["id"] for step in result["steps"] if step["outcome"] == "delivered"]
                ended[f"{result['outcome']}, {', '.join(sent)} delivered"] += 1
                wrong += (result["outcome"], tuple(sent)) != ("exited", STEPS)
                run_id = handle.first_execution_run_id
                while run_id:
                    runs += 1
                    history = await temporal.get_workflow_handle(handle.id, run_id=run_id).fetch_history()
                    failed += sum(map(_has_failed, history.events))
                    last = history.events[-1].workflow_execution_continued_as_new_event_attributes
                    run_id = last.new_execution_run_id
            wrong += failed
            say(f"{name}: {dict(ended)}; {runs} runs; {failed} workflow tasks failed")
        hooks = Counter(call.header("webhook-id") for call in receiver.requests())
        mails = Counter(str(mail.message["Message-ID"]) for mail in inbox.messages())
        tries = sum(hooks.values()) - 2 * each  # one of each back-off and of each hold failed first
        wrong += tries != 2 * each * len(SCENARIOS) or len(mails) != sum(mails.values())
        say(f"webhooks: {len(hooks)} ids, {tries} requests that were taken; mails: {len(mails)}; wrong: {wrong}")
        return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("older", type=Path, help="a checkout of the older version, with its .venv")
    parser.add_argument("--each", type=int, default=10, help="journeys of each kind")
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    leave(asyncio.run(measure(given.older.resolve(), given.each)), None)
