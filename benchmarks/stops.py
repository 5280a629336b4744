"""The cost of graceful stops: one of two workers is replaced, four times, while journeys run.

Run by hand, from the project's folder: ``python -m benchmarks.stops``. It prints the messages held, lost or sent twice,
the tasks lost with a stopped worker, and the delays of deliveries and journeys. ``--set KEY=VALUE`` changes the
server's dynamic configuration.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from temporalio.api.enums.v1 import EventType, TimeoutType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHandle

from activities.interface import JOURNEYS
from runtime import search_attributes
from runtime.connection import connect
from runtime.local import devserver
from runtime.local.devserver import DevServer
from runtime.local.receiver import Inbox, Receiver
from runtime.process.shutdown import exit_process
from runtime.store import Store
from service.client import ScenarioClient
from tests.e2e.conftest import ROOT, SENDER, environment, publish

SCENARIO: Final = """
scenario: stops
trigger: segment
steps:
  - webhook: first
    url: https://hooks.example.com/first
    body: {contact: "{{ contact.id }}"}
  - wait: 5s
  - sms: second
    text: "{{ contact.id }}"
  - email: third
    subject: "{{ contact.id }}"
    text: hi
  - webhook: fourth
    url: https://hooks.example.com/fourth
    body: {contact: "{{ contact.id }}"}
"""
STEPS: Final = 4


def say(line: str) -> None:
    """Print a line immediately."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@dataclass
class HistoryTally:
    """Counts over the histories of all journeys.

    Attributes:
        outcomes: Steps, by outcome.
        lost: Activity tasks that timed out, by activity type.
        slowest: Longest time of an activity from scheduling to completion in seconds, by activity type.
        tasks: Workflow tasks that timed out, by kind of timeout.
    """

    outcomes: Counter[str] = field(default_factory=Counter[str])
    lost: Counter[str] = field(default_factory=Counter[str])
    slowest: Counter[str] = field(default_factory=Counter[str])
    tasks: Counter[str] = field(default_factory=Counter[str])

    def add(self, events: list[HistoryEvent]) -> None:
        """Count the events of one journey."""
        scheduled: dict[int, tuple[str, float]] = {}
        for event in events:
            at = event.event_time.ToMicroseconds() / 1e6
            match event.event_type:
                case EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
                    kind = event.workflow_task_timed_out_event_attributes.timeout_type
                    self.tasks[TimeoutType.Name(kind).removeprefix("TIMEOUT_TYPE_").lower()] += 1
                case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                    given = event.activity_task_scheduled_event_attributes
                    scheduled[event.event_id] = (given.activity_type.name, at)
                case EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
                    started = event.activity_task_started_event_attributes
                    name, _ = scheduled[started.scheduled_event_id]
                    if started.last_failure.HasField("timeout_failure_info"):
                        self.lost[name] += 1
                case EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
                    name, _ = scheduled[event.activity_task_timed_out_event_attributes.scheduled_event_id]
                    self.lost[name] += 1
                case EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                    name, begun = scheduled[event.activity_task_completed_event_attributes.scheduled_event_id]
                    self.slowest[name] = max(self.slowest[name], round(at - begun, 1))  # type: ignore[assignment]
                case _:
                    pass


async def start_worker(stack: AsyncExitStack, variables: dict[str, str], log: Path) -> asyncio.subprocess.Process:
    """Start a worker process. Return it once it is ready."""
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.e2e.process"), cwd=log.parent, env=variables, stderr=errors
        )

    async def end() -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()

    stack.push_async_callback(end)
    while "ready, polling" not in await asyncio.to_thread(log.read_text, "utf-8"):
        await asyncio.sleep(0.05)
    return process


async def measure(journeys: int, stops: int, pause: float) -> None:
    """Run journeys while workers are replaced, and print the results."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await stack.enter_async_context(DevServer(folder / "state"))
        inbox = await stack.enter_async_context(Inbox(folder / "inbox"))
        receiver = await stack.enter_async_context(Receiver())
        url = f"sqlite+aiosqlite:///{folder / 'store.db'}"
        store = await stack.enter_async_context(Store.open(url))
        temporal = await connect(server.address, interceptors=[])
        await search_attributes.ensure(temporal)
        client = ScenarioClient(temporal, store)
        await publish(client, folder, SCENARIO)
        variables = environment(
            PYTHONPATH=str(ROOT),  # workers run in the folder, where the local SMS go
            TEMPORAL_ADDRESS=server.address,
            SCENARIO_STORE=url,
            SCENARIO_SMTP=inbox.url,
            SCENARIO_MAIL_FROM=SENDER,
            SCENARIO_SMS="local:",
            TEST_RECEIVER=receiver.url,
        )
        numbers = iter(range(1, 100))
        workers = [await start_worker(stack, variables, folder / f"worker-{next(numbers)}.log") for _ in range(2)]

        handles: list[WorkflowHandle[Any, Any]] = []
        began, times = time.monotonic(), list[float]()

        async def enter() -> None:
            for number in range(journeys):
                who = {"id": number, "email": f"c{number}@example.com", "cellphone": f"+336{number:08}"}
                entry = {"scenario": "stops", "contact": who, "trigger": {"type": "segment"}}
                handles.append(
                    await temporal.start_workflow(  # pyright: ignore[reportUnknownMemberType]
                        "Journey", entry, id=f"stops/{number}", task_queue=JOURNEYS, result_type=dict
                    )
                )
                await asyncio.sleep(pause)

        entering = asyncio.create_task(enter())
        for _ in range(stops):
            await asyncio.sleep(2)
            workers.append(await start_worker(stack, variables, folder / f"worker-{next(numbers)}.log"))
            oldest, stopping = workers.pop(0), time.monotonic()
            oldest.send_signal(signal.SIGTERM)
            status = await oldest.wait()
            times.append(time.monotonic() - stopping)
            assert status == 0, status
        await entering
        entered = time.monotonic() - began

        tally = HistoryTally()
        for handle in handles:
            try:
                async with asyncio.timeout(60):
                    result = await handle.result()
                tally.outcomes.update(step["outcome"] for step in result["steps"])
            except TimeoutError:
                tally.outcomes.update([f"held: {(await handle.query('progress')).get('waiting')}"])
            tally.add([event async for event in handle.fetch_history_events()])
        hooks = Counter(call.header("webhook-id") for call in receiver.requests())
        texts = Counter(json.loads(path.read_text())["id"] for path in (folder / ".scenario").rglob("*.json"))
        mails = Counter(str(mail.message["Message-ID"]) for mail in inbox.messages())
        sent = {"webhooks": hooks, "SMS": texts, "mails": mails}
        say(f"{journeys} journeys entered in {entered:.0f} s, all ended after {time.monotonic() - began:.0f} s")
        say(f"stops took {', '.join(f'{seconds:.1f}' for seconds in times)} s")
        say(f"outcomes: {dict(tally.outcomes)}")
        say("; ".join(f"{name}: {len(ids)}, sent {sum(ids.values())} times" for name, ids in sent.items()))
        say(
            f"tasks lost: {dict(tally.lost)}; slowest delivery: {dict(tally.slowest)} s; "
            f"workflow tasks timed out: {dict(tally.tasks)}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--journeys", type=int, default=600)
    parser.add_argument("--stops", type=int, default=4)
    parser.add_argument("--pause", type=float, default=0.03, help="seconds between two entries")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    devserver.DYNAMIC_CONFIG.update(
        (key, json.loads(value)) for key, _, value in (one.partition("=") for one in given.set)
    )
    asyncio.run(measure(given.journeys, given.stops, given.pause))
    exit_process(0, None)
