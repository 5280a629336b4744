"""Records the histories that `test_replay` replays, from journeys on a local server. Run by hand:

    python -m tests.replay.record [NAME…]

A file that exists is left alone. Until 0.1.0, a deliberate change to workflow code deletes the histories that no
longer replay, and records them anew. From then on each stands for running journeys: a change that cannot replay one
needs `workflow.patched`. A new step kind needs a history of its own.
"""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal
from unittest.mock import patch

from temporalio.client import (
    WorkflowContinuedAsNewError,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)

from activities.audience.sync import start_audience_syncs
from activities.handover import campaign_root, hand_over
from activities.interface import JOURNEYS
from activities.open_attempt import OpenAttempt
from gateway.campaigns.request import CampaignRequest
from gateway.client import JourneyFilter
from gateway.local.stack import LocalStack, local
from gateway.service.audiences import file_parts
from gateway.service.caller import TERMINAL
from runtime.local.devserver import DYNAMIC_CONFIG, DevServer
from runtime.store import AdmissionRequest
from scenario.policies.order import Defer, Hold, Ruling
from scenario.words import Operation
from tests.replay.bursts import BURSTS, file_of, write
from tests.replay.bursts import record as record_bursts
from workflows.limits import MOST_PARTS

FOLDER: Final = Path(__file__).with_name("histories")
SUGGEST: Final = 100
"""Events after which the server suggests to continue as new, instead of its thousands."""
DELETES_SOON: Final = {
    f"history.{queue}ProcessorUpdateAckInterval": "1s" for queue in ("transfer", "visibility", "timer")
}
"""Settings of the server by which it deletes runs within seconds instead of minutes."""
BAD: Final = {
    "/hooks.example.com/busy": [503],
    "/hooks.example.com/down": [503] * 9,
    "/hooks.example.com/no": [422],
    "/hooks.example.com/slow": [503],
    "/hooks.example.com/mended": [422],
    "/hooks.example.com/changed": [422],
    "/hooks.example.com/lines": [422],
    "/hooks.example.com/deferred": [503],
    "/hooks.example.com/retrying": [503],
    "/quiet.example.com/down": [503] * 99,
    "/wax/busy": [503],
    "/wax/no": [422],
    "/members": [503, 422],
}
WHO: Final = {"operator": "ann", "reason": "incident 42"}
BOUGHT: Final = {"external_id": "CGX0094", "total_price": 30, "currency": "EUR"}
ORDER: Final = {"type": "order", "order": BOUGHT}
DELIVERED: Final = {"name": "order.delivered", "properties": {"order_id": "CGX0094"}}

HEAD = "scenario: {name}\ntrigger: {trigger}\ntimezone: Europe/Paris\n{more}steps:\n"
BUSY = '{webhook: hook, url: "https://hooks.example.com/busy", body: {}, retry: {initial_interval: 1s}}'
DOWN = '{webhook: hook, url: "https://hooks.example.com/down", body: {}, retry: {initial_interval: 5h}}'
NO = '{webhook: hook, url: "https://hooks.example.com/no", body: {}, on_failure: ON}'
SLOW = '{webhook: hook, url: "https://hooks.example.com/slow", body: {}, retry: {initial_interval: 5h}}'
ALONE = (
    '{webhook: hook, url: "https://quiet.example.com/down", body: {}, '
    "retry: {initial_interval: 1s, backoff_coefficient: 1, deadline: 20s}}"
)
BATCH = (
    '{webhook: hook, url: "https://hooks.example.com/no", batch: {size: 2, within: 1d, wait: true}, '
    'body: {ids: {$for: person in contacts, $each: "{{ person.contact.id }}"}}}'
)
MENDED = '{webhook: hook, url: "https://hooks.example.com/mended", body: {a: "{{ contact.FIELD }}"}}'
CHANGED = '{webhook: hook, url: "https://hooks.example.com/changed", body: {a: "{{ contact.firstname }}"}}'
TOLD = "{webhook: told, to: wax, path: /busy, body: {}, retry: {initial_interval: 1s}, save: {as: wax}}"
ASKED = (
    '{webhook: asked, to: wax, path: /no, body: {to: "{{ journey.callback_url }}", n: "{{ responses.wax.received }}"}}'
)
KNOWN = "{if: responses.wax.received > 0, then: [" + ASKED + "], else: [{exit: no}]}"
MAIL = '{email: mail, subject: "Hi {{ contact.firstname }}", text: "Hi"}'
SMS = "{sms: text, text: hi}"
LAST = "{sms: last, text: bye}"
WAIT_FOR = "{wait_for: order.delivered, if: event.order_id == order.external_id, for: LONG, then: [THEN], else: [ELSE]}"

LINES = (
    '{webhook: lines, url: "https://hooks.example.com/lines", '
    'body: {$for: p in order.products, $each: {name: "{{ p.name }}", n: "{{ p.quantity }}"}}}'
)
PRODUCTS = [{"external_id": "10", "name": "Mascara", "quantity": 2}, {"external_id": "11", "name": "Vernis"}]

Handle = WorkflowHandle[Any, dict[str, Any]]


class Recorder:
    """Starts journeys and writes their histories."""

    def __init__(self, place: LocalStack) -> None:
        self.place = place
        self._number = 0

    async def start(
        self, name: str, steps: list[str], trigger: dict[str, Any] | None = None, more: str = "", **fields: Any
    ) -> Handle:
        """Publishes a scenario of these steps and lets a contact of these fields in."""
        trigger = trigger or {"type": "segment"}
        await self.publish(name, steps, trigger, more)
        self._number += 1
        contact = {"id": self._number, "firstname": "Zoé", "email": "zoe@example.com", "cellphone": "+33612345678"}
        contact |= fields
        entered = await self.place.client.enter({"scenario": name, "contact": contact, "trigger": trigger})
        return entered.handle

    async def publish(
        self,
        name: str,
        steps: list[str],
        trigger: dict[str, Any] | None = None,
        more: str = "",
        journeys: Literal["pin", "follow"] | None = None,
    ) -> None:
        """Publishes a version of a scenario of these steps."""
        head = HEAD.format(name=name, trigger=(trigger or {"type": "segment"})["type"], more=more)
        path = self.place.inbox.folder.with_name(f"{name}.yaml")
        await asyncio.to_thread(path.write_text, head + "".join(f"  - {step}\n" for step in steps), "utf-8")
        await self.place.client.publish(path, journeys=journeys)

    async def raw(self, workflow: str, argument: Any) -> Handle:
        """Starts what the client would not."""
        self._number += 1
        return await self.place.client.temporal.start_workflow(
            workflow, argument, id=f"raw/{self._number}", task_queue=JOURNEYS, result_type=dict
        )

    async def until(self, handle: Handle, ready: Callable[[dict[str, Any]], bool]) -> None:
        """Waits for a journey's progress to be so."""
        async with asyncio.timeout(60):
            while not ready(await handle.query("progress")):
                await asyncio.sleep(0.1)

    async def reached(self, handle: Handle, state: str) -> None:
        """Waits for a journey to be in a state."""
        await self.until(handle, lambda progress: progress["state"] == state)

    async def called(self, path: str) -> None:
        """Waits for the receiver to be called."""
        async with asyncio.timeout(60):
            while not self.place.receiver.requests(path):
                await asyncio.sleep(0.1)

    async def order(self, handle: Handle, name: str, **more: Any) -> None:
        """Gives an operator's order."""
        await handle.execute_update(name, {**WHO, **more})  # pyright: ignore[reportUnknownMemberType] of the SDK

    async def save(self, name: str, handle: Handle, *, over: bool = True) -> None:
        """Writes the history, once the journey is over."""
        if over:
            # Some are to fail, and some have gone on in another run.
            with contextlib.suppress(WorkflowFailureError, WorkflowContinuedAsNewError):
                await handle.result(follow_runs=False)
        write(_path(name), await handle.fetch_history())


async def linear(recorder: Recorder) -> None:
    """Every kind of message and of wait, one attempt failing."""
    date = (datetime.now(UTC) + timedelta(days=3, seconds=5)).isoformat()
    steps = [MAIL, "{wait: 1s}", BUSY, '{wait: {until: "{{ reward.expiration_date }}", offset: -3d}}', SMS]
    reward = {"type": "reward", "reward": {"external_id": "R1", "expiration_date": date}}
    await recorder.save("linear", await recorder.start("linear", steps, reward))


async def clock(recorder: Recorder) -> None:
    """A wait for a local time, worked out anew when the contact's zone changes, and skipped."""
    handle = await recorder.start("clock", ['{wait: {until: "10:00", on: [tue]}}', SMS])
    await recorder.reached(handle, "waiting")
    await handle.signal("contact_changed", {"timezone": "Asia/Tokyo", "firstname": "Zoë"})
    await recorder.order(handle, "skip_step", step="wait-1")
    await recorder.save("clock", handle)


async def offset(recorder: Recorder) -> None:
    """A wait for a local time of a contact whose zone is an offset, worked out anew when the contact changes."""
    handle = await recorder.start("offset", ['{wait: {until: "10:00", on: [tue]}}', SMS], timezone="+05:30")
    await recorder.reached(handle, "waiting")
    await handle.signal("contact_changed", {"firstname": "Zoë"})
    await recorder.order(handle, "skip_step", step="wait-1")
    await recorder.save("offset", handle)


async def event(recorder: Recorder) -> None:
    """Waits for events: one that came early, one that comes at last, others between."""
    first = WAIT_FOR.replace("LONG", "7d").replace("THEN", SMS).replace("ELSE", "{exit: no}")
    handle = await recorder.start("event", ["{wait: 1s}", first, "{wait_for: page.viewed}", MAIL], ORDER)
    await handle.signal("event", {"name": "order.delivered", "properties": {"order_id": "another"}})
    await handle.signal("event", {**DELIVERED, "id": "e-1"})
    await handle.signal("event", {**DELIVERED, "id": "e-1"})
    await recorder.until(handle, lambda progress: progress["at"] == "wait_for-3")
    await handle.signal("event", {"name": "unknown"})
    await handle.signal("event", {"name": "page.viewed"})
    await recorder.save("event", handle)


async def late(recorder: Recorder) -> None:
    """A wait for an event that does not come."""
    step = WAIT_FOR.replace("LONG", "1s").replace("THEN", "{exit: no}").replace("ELSE", SMS)
    await recorder.save("late", await recorder.start("late", [step], ORDER))


async def forks(recorder: Recorder) -> None:
    """Conditions one way and the other, and an exit."""
    yes = "{if: contact.cellphone != blank, then: [" + SMS + "], else: [" + MAIL + "]}"
    no = '{if: contact.firstname == "Ann", then: [{exit: no}], else: [{exit: done}]}'
    await recorder.save("forks", await recorder.start("forks", [yes, no]))


async def left(recorder: Recorder) -> None:
    """An exit rule while a webhook is backing off for hours."""
    more = "exit: [{event: order.returned, if: event.order_id == order.external_id}]\n"
    handle = await recorder.start("left", [DOWN, MAIL], ORDER, more)
    await recorder.called("/hooks.example.com/down")
    await handle.signal("event", {"name": "order.returned", "properties": {"order_id": "another"}})
    await handle.signal("event", {"name": "order.returned", "properties": {"order_id": "CGX0094"}})
    await recorder.save("left", handle)


async def held(recorder: Recorder) -> None:
    """A step that fails for good, is tried again and goes on."""
    handle = await recorder.start("held", [NO.replace("ON", "hold"), SMS])
    await recorder.reached(handle, "held")
    await recorder.order(handle, "retry_step")
    await recorder.save("held", handle)


async def dropped(recorder: Recorder) -> None:
    """A step whose failure does not matter, and one whose failure ends the journey."""
    second = NO.replace("ON", "exit").replace("webhook: hook", "webhook: hook2")
    await recorder.save("dropped", await recorder.start("dropped", [NO.replace("ON", "continue"), second, SMS]))


async def paused(recorder: Recorder) -> None:
    """An operator's pause, an order that is refused, and its end; then the operator ends the journey."""
    handle = await recorder.start("paused", ["{wait: 1s}", SMS, "{wait: 30d}"])
    await recorder.order(handle, "pause")
    await asyncio.sleep(1.5)
    await recorder.order(handle, "resume")
    await recorder.until(handle, lambda progress: progress["at"] == "wait-3" and progress["state"] == "waiting")
    await recorder.order(handle, "leave")
    await recorder.save("paused", handle)


async def continued(recorder: Recorder) -> None:
    """Continue-as-new in the middle of a wait, with events, a step done and a patch of the contact carried along."""
    first = WAIT_FOR.replace("LONG", "30d").replace("THEN", SMS).replace("ELSE", "{exit: no}")
    handle = await recorder.start("continued", [MAIL, "{wait_for: go}", first], ORDER)
    await handle.signal("event", {**DELIVERED, "id": "e-1"})
    await handle.signal("contact_changed", {"firstname": "Zoë", "custom": {"vip": True}})
    temporal = recorder.place.client.temporal
    latest = temporal.get_workflow_handle(handle.id)
    async with asyncio.timeout(60):
        while (await latest.describe()).run_id == handle.first_execution_run_id:
            await latest.signal("event", {"name": "page.viewed"})
    await latest.signal("event", {"name": "go"})
    await recorder.save("continued-1", temporal.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id))
    await recorder.save("continued-2", latest)


async def refused(recorder: Recorder) -> None:
    """An entry that may not come in."""
    entry = {"scenario": "unheard-of", "contact": {"id": 1}, "trigger": {"type": "segment"}}
    await recorder.save("refused", await recorder.raw("Journey", entry))


async def entered(recorder: Recorder) -> None:
    """A workflow that starts a journey; one that may not come in; one whose contact is in already."""
    await recorder.publish("entered", ["{wait: 30d}"])
    entry: dict[str, Any] = {"scenario": "entered", "contact": {"id": 1}, "trigger": {"type": "segment"}}
    await recorder.save("entered", await recorder.raw("Enter", entry))
    await recorder.save("entered-twice", await recorder.raw("Enter", entry))
    more = "entry: {if: contact.firstname == 'Ann'}\n"
    await recorder.publish("entered", ["{wait: 30d}"], more=more)
    entry["contact"] = {"id": 2}
    await recorder.save("entered-refused", await recorder.raw("Enter", entry))
    await recorder.place.client.send("entered/1", Operation.LEAVE, operator="ann", reason="seen")


async def no_entry(recorder: Recorder) -> None:
    """An argument that is no entry."""
    await recorder.save("no-entry", await recorder.raw("Journey", "hello"))


async def unknown(recorder: Recorder) -> None:
    """A workflow type that does not exist."""
    await recorder.save("unknown", await recorder.raw("Letter", {"a": 1}))


async def cancelled(recorder: Recorder) -> None:
    """A journey that Temporal's own cancel ended."""
    handle = await recorder.start("cancelled", ["{wait: 30d}", SMS])
    await recorder.reached(handle, "waiting")
    await handle.cancel()
    await recorder.save("cancelled", handle)


async def under_way(recorder: Recorder) -> None:
    """Journeys that are not over: in a wait, and held."""
    for name, step, state in (("waiting", "{wait: 30d}", "waiting"), ("holding", NO.replace("ON", "hold"), "held")):
        handle = await recorder.start(name, [MAIL, step, SMS])
        await recorder.reached(handle, state)
        await recorder.save(name, handle, over=False)
        await handle.terminate()


async def destination(recorder: Recorder) -> None:
    """Webhooks to a destination: one fails once and keeps its response, the next is held, tried again and goes on."""
    handle = await recorder.start("destination", [TOLD, KNOWN, SMS])
    await recorder.reached(handle, "held")
    await recorder.order(handle, "retry_step")
    await recorder.save("destination", handle)


async def amended(recorder: Recorder) -> None:
    """A held step that is tried again as a newer version has it; a version that is not there is refused first."""
    handle = await recorder.start("amended", [MENDED.replace("FIELD", "lastname"), SMS])
    await recorder.reached(handle, "held")
    await recorder.publish("amended", [MENDED.replace("FIELD", "firstname"), SMS])
    with contextlib.suppress(WorkflowUpdateFailedError):
        await recorder.order(handle, "retry_step", version=9)
    await recorder.order(handle, "retry_step", version="newest")
    await recorder.save("amended", handle)


async def changed(recorder: Recorder) -> None:
    """A held step whose contact changes before it is tried again."""
    handle = await recorder.start("changed", [CHANGED, SMS])
    await recorder.reached(handle, "held")
    await handle.signal("contact_changed", {"firstname": "Zoë"})
    await recorder.order(handle, "retry_step")
    await recorder.save("changed", handle)


async def retuned(recorder: Recorder) -> None:
    """A delivery in a long back-off whose policy an operator changes."""
    handle = await recorder.start("retuned", [SLOW, SMS])
    await recorder.called("/hooks.example.com/slow")
    await recorder.until(handle, lambda progress: progress["at"] == "hook")
    await recorder.order(handle, "retune", retry={"initial_interval": "1s", "backoff_coefficient": 1})
    await recorder.save("retuned", handle)


async def recalled(recorder: Recorder) -> None:
    """A delivery whose deadline passes while its receiver, which failed too often, is left alone; it is skipped."""
    handle = await recorder.start("recalled", [ALONE, SMS])
    await recorder.reached(handle, "held")
    await recorder.order(handle, "skip_step")
    await recorder.save("recalled", handle)


async def lines(recorder: Recorder) -> None:
    """A delivery that is handed some of the fields of an order's lines, held and tried again."""
    trigger = {"type": "order", "order": {**BOUGHT, "products": PRODUCTS}}
    handle = await recorder.start("lines", [LINES, SMS], trigger)
    await recorder.reached(handle, "held")
    await recorder.order(handle, "retry_step")
    await recorder.save("lines", handle)


async def dated(recorder: Recorder) -> None:
    """A wait for a date which says when it ends, a change of too many parts, a condition that cannot be worked out."""
    date = (datetime.now(UTC) + timedelta(days=3, seconds=4)).isoformat()
    more = "exit: [{event: seen, if: event.much > 5}]\n"
    reward = {"type": "reward", "reward": {"external_id": "R1", "expiration_date": date}}
    steps = ['{wait: {until: "{{ reward.expiration_date }}", offset: -3d}}', SMS]
    handle = await recorder.start("dated", steps, reward, more)
    await recorder.reached(handle, "waiting")
    await handle.signal("contact_changed", {"custom": {"a": [[]] * (MOST_PARTS + 1)}})
    await handle.signal("event", {"name": "seen", "properties": {"much": "a lot"}})
    await recorder.save("dated", handle)


async def kept_back(recorder: Recorder) -> None:
    """A delivery that may not leave yet: the journey waits for its moment, asks again, and it is sent."""
    answers: list[Ruling] = [Defer(datetime.now(UTC) + timedelta(seconds=6), "quiet hours", "quiet")]

    async def may_leave(attempt: OpenAttempt, address: str = "") -> None:
        del address
        attempt.obey(answers.pop() if answers else None)

    with patch.object(OpenAttempt, "may_leave", may_leave):
        await recorder.save("kept-back", await recorder.start("kept-back", [SMS, MAIL]))


async def deferred(recorder: Recorder) -> None:
    """A retry that may not leave yet: the journey waits for its moment, and makes it."""
    answers: list[Ruling] = [Defer(datetime.now(UTC) + timedelta(seconds=6), "quiet hours", "quiet"), None]

    async def may_leave(attempt: OpenAttempt, address: str = "") -> None:
        del address
        attempt.obey(answers.pop() if answers else None)

    with patch.object(OpenAttempt, "may_leave", may_leave):
        hook = BUSY.replace("busy", "deferred")
        await recorder.save("deferred", await recorder.start("deferred", [hook, MAIL]))


async def retrying(recorder: Recorder) -> None:
    """A delivery that fails once, paused and resumed in its back-off, and sent after a retune."""
    hook = DOWN.replace("down", "retrying")
    handle = await recorder.start("retrying", ["{wait: 1s}", hook, MAIL])
    await recorder.reached(handle, "retrying")
    await recorder.order(handle, "pause")
    await recorder.order(handle, "resume")
    await recorder.order(handle, "retune", retry={"initial_interval": "1s"})
    await recorder.save("retrying", handle)


async def past(recorder: Recorder) -> None:
    """Dates that are past: the contact skips what follows, goes on at once, and leaves."""
    until = 'until: "{{ contact.creation_date }}"'
    steps = ["{wait: {UNTIL, past: skip}}", SMS, "{wait: {UNTIL}}", MAIL, "{wait: {UNTIL, past: exit}}", LAST]
    steps = [step.replace("UNTIL", until) for step in steps]
    await recorder.save("past", await recorder.start("past", steps, creation_date="2018-01-24 15:00:00"))


async def policies(recorder: Recorder) -> None:
    """Kept back and sent at once by an operator; held by a cap, and so again; given up between two attempts."""
    answers: list[Ruling] = [Hold("capped by week: 4 in 7d, next Thu 10:02"), None]
    night = Defer(datetime.now(UTC) + timedelta(hours=6), "quiet hours", "quiet")

    async def may_leave(attempt: OpenAttempt, address: str = "") -> None:
        del address
        hurried = attempt.delivery.at_once
        attempt.obey(night if attempt.delivery.step == "text" and not hurried else None)
        attempt.obey(answers[hurried] if attempt.delivery.step == "mail" else None)

    with patch.object(OpenAttempt, "may_leave", may_leave):
        handle = await recorder.start("policies", [SMS, MAIL, SLOW, "{wait: 1s}"])
        await recorder.reached(handle, "waiting")
        await recorder.order(handle, "retry_step", now=True)
        await recorder.reached(handle, "held")
        await recorder.order(handle, "retry_step", now=True)
        await recorder.called("/hooks.example.com/slow")
        await recorder.order(handle, "skip_step")
        await recorder.save("policies", handle)


async def crowded(recorder: Recorder) -> None:
    """An entry of too many parts."""
    contact: dict[str, Any] = {"id": 1, "custom": {"a": [[]] * (MOST_PARTS + 1)}}
    entry: dict[str, Any] = {"scenario": "crowded", "contact": contact, "trigger": {"type": "segment"}}
    await recorder.save("crowded", await recorder.raw("Journey", entry))


async def switch(recorder: Recorder) -> None:
    """Values that meet a case and one that meets none; one that cannot be worked out, tried again and skipped."""
    one = "{switch: contact.firstname, cases: {Zoé: [" + SMS + "], Ann: [{exit: no}]}}"
    none = "{switch: contact.custom.colour, cases: {red: [{exit: no}]}, else: [" + MAIL + "]}"
    failing = '{switch: "contact.firstname | number", cases: {3: []}, else: []}'
    handle = await recorder.start("switch", [one, none, failing])
    await recorder.reached(handle, "held")
    await recorder.order(handle, "retry_step")
    await recorder.reached(handle, "held")
    await recorder.order(handle, "skip_step")
    await recorder.save("switch", handle)


async def split(recorder: Recorder) -> None:
    """What is drawn by the contact, by the journey and by a template; one that is blank, tried again and skipped."""
    both = "{a: [" + SMS + "], b: [" + MAIL + "]}"
    steps = [f"{{split: {{a: 50, b: 45, none: 5}}, seed: tone, branches: {both}}}"]
    steps += ["{split: {x: 50, y: 50}, by: journey}", "{split: {x: 33.33, y: 66.67}, by: '{{ contact.firstname }}'}"]
    steps += ["{split: {x: 0, y: 100}, by: '{{ contact.custom.store }}', branches: {y: [{exit: no}]}}"]
    handle = await recorder.start("split", steps)
    await recorder.reached(handle, "held")
    await recorder.order(handle, "retry_step")
    await recorder.reached(handle, "held")
    await recorder.order(handle, "skip_step")
    await recorder.save("split", handle)


async def control(recorder: Recorder) -> None:
    """A contact who is let in to get nothing."""
    await recorder.save("control", await recorder.start("control", [SMS], more="control: 99.99\n"))


async def repeat(recorder: Recorder) -> None:
    """Rounds in rounds, over runs; a condition that ends one, an event that ends another, one that is skipped."""
    inner = "{repeat: {every: 1s, times: 3, until: contact.firstname == 'Ann'}, steps: [" + SMS + "]}"
    outer = "{repeat: {every: 2s, times: 9, until: {event: enough}}, steps: [" + inner + "]}"
    held = "{repeat: {every: 30d, times: 2, until: contact.custom.n > 2}, steps: [" + MAIL + "]}"
    last = "{repeat: {every: 30d, times: 2}, steps: [{wait: 0s}]}"
    handle = await recorder.start("repeat", [outer, held, last], custom={"n": "x"})
    temporal = recorder.place.client.temporal
    latest = temporal.get_workflow_handle(handle.id)
    async with asyncio.timeout(60):
        while (await latest.describe()).run_id == handle.first_execution_run_id:
            await asyncio.sleep(0.1)
    await latest.signal("event", {"name": "enough"})
    await recorder.reached(latest, "held")
    await latest.signal("contact_changed", {"custom": {"n": None}})
    await recorder.order(latest, "retry_step")
    await recorder.until(latest, lambda progress: progress["state"] == "waiting" and progress["at"] == "repeat-2")
    await recorder.order(latest, "skip_step", step="repeat-2")
    await recorder.until(latest, lambda progress: progress["state"] == "waiting" and progress["at"] == "repeat-3")
    await latest.signal("contact_changed", {"timezone": "Asia/Tokyo"})
    await recorder.order(latest, "leave")
    await recorder.save("repeat-1", temporal.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id))
    await recorder.save("repeat-2", latest)


async def several(recorder: Recorder) -> None:
    """Waits for the first of several events: one that came early, one that comes, none."""
    first = "{wait_for: {a: {if: event.n == 1, then: [" + SMS + "]}, b: {}}, for: 7d, else: [{exit: no}]}"
    second = "{wait_for: {c: {then: [" + MAIL + "]}, d: {if: event.n == 1}}}"
    last = "{wait_for: {e: {}, f: {then: [{exit: no}]}}, for: 1s, else: [{exit: late}]}"
    handle = await recorder.start("several", ["{wait: 1s}", first, second, last])
    for name, number in (("a", 2), ("b", 2), ("a", 1)):
        await handle.signal("event", {"name": name, "properties": {"n": number}})
    await recorder.until(handle, lambda progress: progress["at"] == "wait_for-3")
    for name, number in (("d", 2), ("c", 2)):
        await handle.signal("event", {"name": name, "properties": {"n": number}})
    await recorder.save("several", handle)


async def goal(recorder: Recorder) -> None:
    """A goal that one event does not reach, the next does, and the last comes too late for; and one that ends it."""
    placed = "event: order.placed, if: event.total > 0"
    more = "goal: {" + placed + ', within: 14d, value: "{{ event.total }}"}\n'
    for name, exits in (("goal", ""), ("goal-left", "exit: [{" + placed + "}]\n")):
        handle = await recorder.start(name, [MAIL, "{wait_for: go}", SMS], more=more + exits)
        await recorder.reached(handle, "waiting")
        for total in (0, 49.9):
            await handle.signal("event", {"name": "order.placed", "properties": {"total": total}})
        if not exits:
            await recorder.until(handle, lambda progress: bool(progress["goal"]["reached_at"]))
            await handle.signal("event", {"name": "order.placed", "properties": {"total": 100}})
            await handle.signal("event", {"name": "go"})
        await recorder.save(name, handle)


async def migrated(recorder: Recorder) -> None:
    """Put into other versions: in a wait, in a repetition, in a back-off, and held; refused once."""
    rounds = "{repeat: {every: EVERY, times: 2}, id: NAME, steps: [" + SMS + "]}"
    first = [MAIL, "{wait: 30d, id: rest}", rounds.replace("EVERY", "30d").replace("NAME", "rounds")]
    hook = NO.replace("ON", "hold")
    handle = await recorder.start("migrated", [*first, SLOW.replace("webhook: hook", "webhook: slow"), hook])
    await recorder.reached(handle, "waiting")
    again = rounds.replace("EVERY", "1s").replace("NAME", "again")
    second = [MAIL, "{wait: 1s, id: pause}", rounds.replace("EVERY", "20d").replace("NAME", "rounds")]
    await recorder.publish("migrated", [*second, SLOW.replace("webhook: hook", "webhook: slow"), hook])
    with contextlib.suppress(WorkflowUpdateFailedError):
        await recorder.order(handle, "migrate", version="newest")
    await recorder.order(handle, "migrate", version=2, map={"rest": "pause"}, waits="restart")
    await recorder.until(handle, lambda progress: progress["state"] == "waiting" and progress["at"] == "rounds")
    await recorder.publish("migrated", [*second[:2], again, SLOW.replace("webhook: hook", "webhook: slow"), hook])
    await recorder.order(handle, "migrate", version=3, map={"rounds": "again"})
    await recorder.until(handle, lambda progress: progress["at"] == "slow")
    await recorder.called("/hooks.example.com/slow")
    await recorder.order(handle, "migrate", version=2, map={"again": "rounds"})
    await recorder.order(handle, "retune", retry={"initial_interval": "1s", "backoff_coefficient": 1})
    await recorder.reached(handle, "held")
    await recorder.publish(
        "migrated", [MENDED.replace("FIELD", "firstname").replace("webhook: hook", "webhook: mended"), LAST]
    )
    await recorder.order(handle, "migrate", version="newest", map={"hook": "mended"})
    await recorder.order(handle, "retry_step")
    await recorder.reached(handle, "held")
    await recorder.order(handle, "skip_step")
    temporal = recorder.place.client.temporal
    latest = temporal.get_workflow_handle(handle.id, result_type=dict)
    async with asyncio.timeout(60):
        while (await latest.describe()).status == WorkflowExecutionStatus.RUNNING:
            await asyncio.sleep(0.1)
    await recorder.save("migrated-1", temporal.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id))
    await recorder.save("migrated-2", latest)


async def followed(recorder: Recorder) -> None:
    """It follows newer versions: there is none, there is one, there is one in which its next step is gone."""
    await recorder.publish("followed", [MAIL, "{wait: 6s}", SMS, "{wait: 6s}", LAST], journeys="follow")
    contact = {"id": 1, "email": "zoe@example.com", "cellphone": "+33612345678"}
    entry: dict[str, Any] = {"scenario": "followed", "contact": contact, "trigger": {"type": "segment"}}
    handle = (await recorder.place.client.enter(entry)).handle
    await recorder.reached(handle, "waiting")
    await recorder.publish(
        "followed", [MAIL, "{wait: 1s}", NO.replace("ON", "continue"), SMS, "{wait: 6s, id: wait-4}"], journeys="follow"
    )
    await recorder.until(handle, lambda progress: progress["at"] == "wait-4")
    await recorder.publish("followed", [SMS], journeys="follow")
    await recorder.save("followed", handle)


async def operations(recorder: Recorder) -> None:
    """Operations on many journeys: one to its end, one that is stopped at work, one that only looks."""
    client = recorder.place.client
    await recorder.publish("operation", [NO.replace("ON", "hold"), "{wait: 30d}"])
    for number in range(3):
        entry = {"scenario": "operation", "contact": {"id": f"o{number}"}, "trigger": {"type": "segment"}}
        await recorder.reached((await client.enter(entry)).handle, "held")
    async with asyncio.timeout(60):
        while len(await client.held(scenario="operation")) < 3:
            await asyncio.sleep(0.1)
    which = JourneyFilter(scenario="operation")
    for name in ("operation-looks", "operation", "operation-stopped"):
        verb, rate = (Operation.PAUSE, 0.1) if name == "operation-stopped" else (Operation.SKIP, 10.0)
        looks = name == "operation-looks"
        begun = await client.operate(verb, which, operator="ann", reason="incident 42", rate=rate, dry_run=looks)
        handle = client.temporal.get_workflow_handle(f"operation:{begun.id}")
        if name == "operation-stopped":
            async with asyncio.timeout(60):
                while (await client.operation(begun.id)).state != "running":
                    await asyncio.sleep(0.1)
            await client.stop_operation(begun.id, operator="bob", reason="wrong one")
        await recorder.save(name, handle)


async def campaign(recorder: Recorder) -> None:
    """A campaign of journeys that is paused, resumed and retuned, and one without journeys that is stopped at work."""
    client, campaigns = recorder.place.client, recorder.place.client.services.campaigns
    await recorder.publish("campaign", [SMS])
    who: dict[str, Any] = {"operator": "ann", "reason": "incident 42"}
    with tempfile.TemporaryDirectory() as folder:
        audience = Path(folder) / "people.csv"
        audience.write_text("contact.id\n" + "".join(f"p{number}\n" for number in range(12)))
        for name in ("campaign", "campaign-stopped"):
            file = await campaigns.audiences.add(TERMINAL, audience.name, file_parts(audience))
            request = CampaignRequest(
                name=name,
                scenario="campaign",
                audience=file.name,
                operator="ann",
                rate=2.0,
                ask=True,
                gear="enter" if name == "campaign" else None,
            )
            await campaigns.begin(TERMINAL, request, file)
            async with asyncio.timeout(60):
                while (await campaigns.show(TERMINAL, name)).state != "ready":
                    await asyncio.sleep(0.1)
            await campaigns.change(TERMINAL, name, "start", **who)
            async with asyncio.timeout(60):
                while (await campaigns.show(TERMINAL, name)).done < 2:
                    await asyncio.sleep(0.1)
            if name == "campaign":
                await campaigns.change(TERMINAL, name, "pause", **who)
                await campaigns.change(TERMINAL, name, "resume", **who)
                await campaigns.change(TERMINAL, name, "retune", rate=20.0, **who)
            else:
                await campaigns.change(TERMINAL, name, "stop", **who)
            await recorder.save(name, client.temporal.get_workflow_handle(f"campaign:{name}"))


async def audience(recorder: Recorder) -> None:
    """A journey joins an audience and leaves another one; a sync that is retried and then held, and one that ends."""
    join, leave = "{audience: vip-buyers, to: members}", "{audience: others, to: members, op: remove}"
    await recorder.save("audience", await recorder.start("audience", [join, leave]))
    client, store = recorder.place.client.temporal, recorder.place.services.store
    for name in ("audience-held", "audience-synced"):
        await start_audience_syncs(client, store)
        handle = client.get_workflow_handle("audience:members:vip-buyers")
        await recorder.save(name, client.get_workflow_handle(handle.id, run_id=(await handle.describe()).run_id))
        await store.release_audience("members", "vip-buyers", "ann has it sent again: incident 42")


async def handed_over(recorder: Recorder) -> None:
    """A journey that a campaign has begun without a workflow, and that is held from its start."""
    await recorder.publish("handed-over", ["{split: {a: 50, b: 50}}", SMS, LAST])
    client, identifier, now = recorder.place.client, "handed-over/p1/sale", datetime.now(UTC)
    root, at = campaign_root(identifier, now), now.isoformat()
    asking = AdmissionRequest("handed-over", 1, "p1", "sale", identifier, root, "never", now, root=root)
    await client.store.admit_many([asking])
    state = {
        "entered_at": at,
        "at": "text",
        "since": at,
        "now": at,
        "steps": [{"id": "split-1", "kind": "split", "outcome": "a", "at": at}],
        "held": {"step": "text", "kind": "permanent", "reason": "it answered 400", "at": at, "cause": "rejected"},
    }
    entry = {"scenario": "handed-over", "contact": {"id": "p1"}, "trigger": {"type": "segment"}, "key": "sale"}
    await hand_over(client.temporal, entry=entry, root=root, state=state, workflow_id=identifier, summary="sale")
    handle = client.temporal.get_workflow_handle(identifier, result_type=dict)
    await recorder.reached(handle, "held")
    await recorder.order(handle, "retry_step")
    await recorder.save("handed-over", handle)


async def batch(recorder: Recorder) -> None:
    """A batch that is full, held and tried again, and a journey that waits for it."""
    handle = await recorder.start("batch", [BATCH, "{wait: 1s}"])
    other = {"scenario": "batch", "contact": {"id": "other"}, "trigger": {"type": "segment"}}
    await recorder.place.client.enter(other)
    store = recorder.place.services.store
    async with asyncio.timeout(60):
        while not (items := await store.batch_items_of("other")):
            await asyncio.sleep(0.1)
    sent = recorder.place.client.temporal.get_workflow_handle(items[0].batch)
    await recorder.reached(sent, "held")
    await recorder.order(sent, "retry_step")
    await recorder.save("batch", sent)
    await recorder.save("batch-joined", handle)


async def pruned(recorder: Recorder) -> None:
    """What is old is deleted, in moments of one batch each."""
    with patch("activities.retention.SECONDS", 0.0):
        await recorder.save("pruned", await recorder.raw("Prune", {"ages": "deliveries=180d,entries=2y"}))


async def erased(recorder: Recorder) -> None:
    """A contact with a running journey is erased, pass after pass."""
    handle = await recorder.start("erased", [SMS, "{wait: 30d}"], id="gone")
    await recorder.reached(handle, "waiting")
    client = recorder.place.client
    with patch("activities.erasure.PAUSES", (2.0,)):
        view = await client.erase("gone", operator="ann", reason="incident 42")
        await recorder.save("erased", client.temporal.get_workflow_handle(f"erasure-{view.id}"))


async def counted(recorder: Recorder) -> None:
    """Continue-as-new behind steps that are counted first; the next run carries none of them along."""
    handle = await recorder.start("counted", [MAIL, "{wait_for: go}", SMS], ORDER)
    temporal = recorder.place.client.temporal
    latest = temporal.get_workflow_handle(handle.id)
    async with asyncio.timeout(60):
        while (await latest.describe()).run_id == handle.first_execution_run_id:
            await latest.signal("event", {"name": "page.viewed"})
    await latest.signal("event", {"name": "go"})
    await recorder.save("counted-1", temporal.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id))
    await recorder.save("counted-2", latest)


async def noted(recorder: Recorder) -> None:
    """A journey that notes why it is held, and once more at another step."""
    hook = NO.replace("ON", "hold")
    handle = await recorder.start("noted", [hook, hook.replace("webhook: hook", "webhook: other"), SMS])
    await recorder.reached(handle, "held")
    await recorder.order(handle, "retry_step")
    await recorder.until(handle, lambda progress: progress["state"] == "held" and progress["at"] == "other")
    await recorder.order(handle, "skip_step")
    await recorder.save("noted", handle)


async def together(recorder: Recorder) -> None:
    """Events that come together: all but the first while a condition is asked about that."""
    handle = await recorder.start("together", ["{wait_for: a, if: event.n == 2}", MAIL])
    await recorder.reached(handle, "waiting")
    await asyncio.gather(*(handle.signal("event", {"name": "a", "properties": {"n": n}}) for n in (1, 1, 1, 2)))
    await recorder.save("together", handle)


_FIRST: Final = {
    counted: "counted-1",
    continued: "continued-1",
    repeat: "repeat-1",
    migrated: "migrated-1",
    under_way: "waiting",
    operations: "operation",
}
"""Names of histories that the names of their recordings do not give."""
RECORDINGS: Final[dict[str, Callable[[Recorder], Awaitable[None]]]] = {
    _FIRST.get(make, make.__name__.replace("_", "-")): make
    for make in (
        *(linear, clock, offset, event, late, forks, left, held, retrying, dropped, paused, continued),
        *(refused, entered),
        *(no_entry, unknown, cancelled, under_way, destination, amended, changed, retuned, recalled, dated),
        *(crowded, kept_back, deferred, past, policies, lines, switch, split, control, several, repeat, goal),
        *(counted, noted, together, migrated, followed, operations, campaign, handed_over, audience, batch, pruned),
        erased,
    )
}
"""By the name of the (first) history that each writes."""


def _path(name: str) -> Path:
    return FOLDER / f"{name}.json"


def _lacks(name: str, wanted: list[str]) -> bool:
    """Whether this history is wanted and not there."""
    return (not wanted or name in wanted) and not _path(name).exists()


async def record(wanted: list[str]) -> None:
    """Records what is wanted (everything by default) and not there."""
    known = {*RECORDINGS, *map(file_of, BURSTS)}
    if unheard := set(wanted) - known:
        raise SystemExit(f"there is no recording {', '.join(sorted(unheard))}: there are {', '.join(sorted(known))}")
    with tempfile.TemporaryDirectory() as folder:
        lacked = [name for name in BURSTS if _lacks(file_of(name), wanted)]
        if lacked:
            async with DevServer(Path(folder) / "bursts") as server:
                await record_bursts(server.address, FOLDER, lacked)
        DYNAMIC_CONFIG["limit.historyCount.suggestContinueAsNew"] = SUGGEST
        DYNAMIC_CONFIG.update(DELETES_SOON)
        async with local(Path(folder), fail=BAD) as place:
            recorder = Recorder(place)
            for name, make in RECORDINGS.items():
                if _lacks(name, wanted):
                    await make(recorder)
                    sys.stdout.write(f"{name}\n")
                else:
                    sys.stdout.write(f"{name}: left alone\n")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1:]))
