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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar
from unittest.mock import patch

from temporalio.client import (
    WorkflowContinuedAsNewError,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)

from activities.audience.sync import start_audience_syncs
from activities.handover import campaign_root, hand_over
from activities.interface import JOURNEYS
from activities.open_attempt import OpenAttempt
from cli.local.stack import LocalStack, local
from runtime.local.devserver import DYNAMIC_CONFIG, DevServer
from runtime.store import AdmissionRequest
from scenario.policies.order import Defer, Hold, Ruling
from scenario.words import Operation
from service.audiences import file_parts
from service.caller import TERMINAL
from service.campaigns.views import CampaignRequest
from service.client import JourneyFilter
from tests.replay.bursts import BURSTS, file_of, write
from tests.replay.bursts import record as record_bursts
from tests.scenarios import scenario_text
from workflows.limits import MOST_PARTS

T = TypeVar("T")

FOLDER: Final = Path(__file__).with_name("histories")
SUGGEST: Final = 100
"""Events after which the server suggests to continue as new, instead of its thousands."""
DELETES_SOON: Final = {
    f"history.{queue}ProcessorUpdateAckInterval": "1s" for queue in ("transfer", "visibility", "timer")
}
"""Settings of the server by which it deletes runs within seconds instead of minutes."""
BAD: Final = {
    **{f"/hooks.example.com/{path}": [503] for path in ("busy", "slow", "deferred", "retrying")},
    **{f"/hooks.example.com/{path}": [422] for path in ("no", "mended", "changed", "lines")},
    "/hooks.example.com/down": [503] * 9,
    "/quiet.example.com/down": [503] * 99,
    "/wax/busy": [503],
    "/wax/no": [422],
    "/members": [503, 422],
}
WHO: Final[dict[str, Any]] = {"operator": "ann", "reason": "incident 42"}
SEGMENT: Final = {"type": "segment"}
FAST: Final = {"initial_interval": "1s", "backoff_coefficient": 1}
BOUGHT: Final = {"external_id": "CGX0094", "total_price": 30, "currency": "EUR"}
ORDER: Final = {"type": "order", "order": BOUGHT}
DELIVERED: Final = {"name": "order.delivered", "properties": {"order_id": "CGX0094"}}

PARIS: Final = "timezone: Europe/Paris\n"
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
    def __init__(self, place: LocalStack) -> None:
        self.place = place
        self._number = 0

    async def start(
        self, name: str, steps: Sequence[str], trigger: dict[str, Any] | None = None, more: str = "", **fields: Any
    ) -> Handle:
        await self.publish(name, steps, trigger, more)
        self._number += 1
        contact = {"id": self._number, "firstname": "Zoé", "email": "zoe@example.com", "cellphone": "+33612345678"}
        return await self.enter(name, trigger, **contact | fields)

    async def enter(self, name: str, trigger: dict[str, Any] | None = None, **contact: Any) -> Handle:
        entry: dict[str, Any] = {"scenario": name, "contact": contact, "trigger": trigger or SEGMENT}
        return (await self.place.client.enter(entry)).handle

    async def publish(
        self,
        name: str,
        steps: Sequence[str],
        trigger: dict[str, Any] | None = None,
        more: str = "",
        journeys: Literal["pin", "follow"] | None = None,
    ) -> None:
        text = scenario_text(*steps, name=name, trigger=(trigger or SEGMENT)["type"], more=PARIS + more)
        path = self.place.inbox.folder.with_name(f"{name}.yaml")
        await asyncio.to_thread(path.write_text, text, "utf-8")
        await self.place.client.publish(path, journeys=journeys)

    async def raw(self, workflow: str, argument: Any) -> Handle:
        self._number += 1
        return await self.place.client.temporal.start_workflow(
            workflow, argument, id=f"raw/{self._number}", task_queue=JOURNEYS, result_type=dict
        )

    def newest(self, handle: Handle, run_id: str | None = None) -> Handle:
        return self.place.client.temporal.get_workflow_handle(handle.id, run_id=run_id, result_type=dict)

    async def continued(self, handle: Handle, event: str = "") -> Handle:
        """Waits for another run of a journey, to which this event happens again and again. Returns its handle."""
        latest = self.newest(handle)

        async def run_id() -> str | None:
            if event:
                await latest.signal("event", {"name": event})
            return (await latest.describe()).run_id

        await until(run_id, lambda found: found != handle.first_execution_run_id, pause=0.0 if event else 0.1)
        return latest

    async def reached(self, handle: Handle, state: str = "", step: str = "") -> None:
        await until(progress(handle), lambda now: now["state"] == (state or now["state"]) and step in ("", now["at"]))

    async def called(self, path: str) -> None:
        async def requests() -> list[Any]:
            return self.place.receiver.requests(path)

        await until(requests)

    async def order(self, handle: Handle, name: str, **more: Any) -> None:
        await handle.execute_update(name, {**WHO, **more})  # pyright: ignore[reportUnknownMemberType] of the SDK

    async def save(self, name: str, handle: Handle, *, over: bool = True) -> None:
        if over:
            # Some are to fail, and some have gone on in another run.
            with contextlib.suppress(WorkflowFailureError, WorkflowContinuedAsNewError):
                await handle.result(follow_runs=False)
        write(_path(name), await handle.fetch_history())

    async def save_runs(self, name: str, handle: Handle) -> None:
        await self.save(f"{name}-1", self.newest(handle, handle.first_execution_run_id))
        await self.save(f"{name}-2", self.newest(handle))


async def until(
    ask: Callable[[], Awaitable[T]], ready: Callable[[T], object] = bool, *, within: float = 60.0, pause: float = 0.05
) -> T:
    async with asyncio.timeout(within):
        while not ready(answer := await ask()):
            await asyncio.sleep(pause)
    return answer


def progress(handle: Handle) -> Callable[[], Awaitable[dict[str, Any]]]:
    return partial(handle.query, "progress")


# ---- journeys of one run, and what happens to each in order

Act = Callable[[Recorder, Handle], Awaitable[Any]]


@dataclass(frozen=True)
class Recording:
    steps: Sequence[str]
    acts: Sequence[Act] = ()
    trigger: dict[str, Any] | None = None
    more: str = ""
    contact: Mapping[str, Any] = field(default_factory=dict[str, Any])
    expires: float | None = None
    """For a reward as the trigger, that expires in three days and so many seconds."""

    async def record(self, name: str, recorder: Recorder) -> None:
        trigger = self.trigger
        if self.expires is not None:
            date = (datetime.now(UTC) + timedelta(days=3, seconds=self.expires)).isoformat()
            trigger = {"type": "reward", "reward": {"external_id": "R1", "expiration_date": date}}
        handle = await recorder.start(name, self.steps, trigger, self.more, **self.contact)
        for act in self.acts:
            await act(recorder, handle)
        await recorder.save(name, handle)


def reached(state: str = "", step: str = "") -> Act:
    return lambda recorder, handle: recorder.reached(handle, state, step)


def called(path: str) -> Act:
    return lambda recorder, _: recorder.called(path)


def order(name: str, **more: Any) -> Act:
    return lambda recorder, handle: recorder.order(handle, name, **more)


def changed(**fields: Any) -> Act:
    return lambda _, handle: handle.signal("contact_changed", fields)


def event(name: str, **more: Any) -> Act:
    properties = {key: value for key, value in more.items() if key != "id"}
    known = {"id": more["id"]} if "id" in more else {}
    return lambda _, handle: handle.signal("event", {"name": name, "properties": properties, **known})


async def together(_: Recorder, handle: Handle) -> None:
    """Send events so that all but the first come while a condition is asked about that."""
    await asyncio.gather(*(handle.signal("event", {"name": "a", "properties": {"n": n}}) for n in (1, 1, 1, 2)))


async def mend(recorder: Recorder, handle: Handle) -> None:
    """Publish a version in which a held step is mended, and retry it: first by a version that does not exist."""
    await recorder.publish("amended", [MENDED.replace("FIELD", "firstname"), SMS])
    with contextlib.suppress(WorkflowUpdateFailedError):
        await recorder.order(handle, "retry_step", version=9)
    await recorder.order(handle, "retry_step", version="newest")


RETRIED: Final = (reached("held"), order("retry_step"))
SKIPPED: Final = (*RETRIED, reached("held"), order("skip_step"))
EARLY: Final = WAIT_FOR.replace("LONG", "7d").replace("THEN", SMS).replace("ELSE", "{exit: no}")
LATE: Final = WAIT_FOR.replace("LONG", "1s").replace("THEN", "{exit: no}").replace("ELSE", SMS)
BY_NIGHT: Final = '{wait: {until: "10:00", on: [tue]}}'
OF_ORDER: Final = {"order_id": "CGX0094"}
OTHER: Final = {"order_id": "another"}
UNTIL: Final = 'until: "{{ contact.creation_date }}"'
BRANCHES: Final = "{a: [" + SMS + "], b: [" + MAIL + "]}"
EXPIRY: Final = '{wait: {until: "{{ reward.expiration_date }}", offset: -3d}}'
PAST: Final = ["{wait: {UNTIL, past: skip}}", SMS, "{wait: {UNTIL}}", MAIL, "{wait: {UNTIL, past: exit}}", LAST]

JOURNEYS_OF_ONE_RUN: Final[dict[str, Recording]] = {
    # Every kind of message and of wait, one attempt failing.
    "linear": Recording([MAIL, "{wait: 1s}", BUSY, EXPIRY, SMS], expires=5),
    # A wait for a local time, worked out anew when the contact's zone changes, and skipped.
    "clock": Recording(
        [BY_NIGHT, SMS],
        [reached("waiting"), changed(timezone="Asia/Tokyo", firstname="Zoë"), order("skip_step", step="wait-1")],
    ),
    # The same of a contact whose zone is an offset.
    "offset": Recording(
        [BY_NIGHT, SMS],
        [reached("waiting"), changed(firstname="Zoë"), order("skip_step", step="wait-1")],
        contact={"timezone": "+05:30"},
    ),
    # Waits for events: one that came early, one that comes at last, others between.
    "event": Recording(
        ["{wait: 1s}", EARLY, "{wait_for: page.viewed}", MAIL],
        [
            event("order.delivered", **OTHER),
            *[event("order.delivered", **OF_ORDER, id="e-1")] * 2,
            reached(step="wait_for-3"),
            event("unknown"),
            event("page.viewed"),
        ],
        trigger=ORDER,
    ),
    # A wait for an event that does not come.
    "late": Recording([LATE], trigger=ORDER),
    # Conditions one way and the other, and an exit.
    "forks": Recording(
        [
            "{if: contact.cellphone != blank, then: [" + SMS + "], else: [" + MAIL + "]}",
            '{if: contact.firstname == "Ann", then: [{exit: no}], else: [{exit: done}]}',
        ]
    ),
    # An exit rule while a webhook is backing off for hours.
    "left": Recording(
        [DOWN, MAIL],
        [called("/hooks.example.com/down"), event("order.returned", **OTHER), event("order.returned", **OF_ORDER)],
        trigger=ORDER,
        more="exit: [{event: order.returned, if: event.order_id == order.external_id}]\n",
    ),
    # A step that fails for good, is tried again and goes on.
    "held": Recording([NO.replace("ON", "hold"), SMS], RETRIED),
    # A delivery that fails once, paused and resumed in its back-off, and sent after a retune.
    "retrying": Recording(
        ["{wait: 1s}", DOWN.replace("down", "retrying"), MAIL],
        [reached("retrying"), order("pause"), order("resume"), order("retune", retry={"initial_interval": "1s"})],
    ),
    # A step whose failure does not matter, and one whose failure ends the journey.
    "dropped": Recording(
        [NO.replace("ON", "continue"), NO.replace("ON", "exit").replace("webhook: hook", "webhook: hook2"), SMS]
    ),
    # An operator's pause and its end; then the operator ends the journey.
    "paused": Recording(
        ["{wait: 1s}", SMS, "{wait: 30d}"],
        [
            *(order("pause"), lambda _, __: asyncio.sleep(1.5), order("resume")),
            *(reached("waiting", "wait-3"), order("leave")),
        ],
    ),
    # A journey that Temporal's own cancel ended.
    "cancelled": Recording(["{wait: 30d}", SMS], [reached("waiting"), lambda _, handle: handle.cancel()]),
    # Webhooks to a destination: one fails once and keeps its response, the next is held, tried again and goes on.
    "destination": Recording([TOLD, KNOWN, SMS], RETRIED),
    # A held step that is tried again as a newer version has it.
    "amended": Recording([MENDED.replace("FIELD", "lastname"), SMS], [reached("held"), mend]),
    # A held step whose contact changes before it is tried again.
    "changed": Recording([CHANGED, SMS], [reached("held"), changed(firstname="Zoë"), order("retry_step")]),
    # A delivery in a long back-off whose policy an operator changes.
    "retuned": Recording(
        [SLOW, SMS], [called("/hooks.example.com/slow"), reached(step="hook"), order("retune", retry=FAST)]
    ),
    # A delivery whose deadline passes while its receiver, which failed too often, is left alone; it is skipped.
    "recalled": Recording([ALONE, SMS], [reached("held"), order("skip_step")]),
    # A wait for a date, a change of too many parts, a condition that cannot be worked out.
    "dated": Recording(
        [EXPIRY, SMS],
        [reached("waiting"), changed(custom={"a": [[]] * (MOST_PARTS + 1)}), event("seen", much="a lot")],
        expires=4,
        more="exit: [{event: seen, if: event.much > 5}]\n",
    ),
    # Dates that are past: the contact skips what follows, goes on at once, and leaves.
    "past": Recording(
        [step.replace("UNTIL", UNTIL) for step in PAST], contact={"creation_date": "2018-01-24 15:00:00"}
    ),
    # A delivery that is handed some of the fields of an order's lines, held and tried again.
    "lines": Recording([LINES, SMS], RETRIED, trigger={"type": "order", "order": {**BOUGHT, "products": PRODUCTS}}),
    # Values that meet a case and one that meets none; one that cannot be worked out, tried again and skipped.
    "switch": Recording(
        [
            "{switch: contact.firstname, cases: {Zoé: [" + SMS + "], Ann: [{exit: no}]}}",
            "{switch: contact.custom.colour, cases: {red: [{exit: no}]}, else: [" + MAIL + "]}",
            '{switch: "contact.firstname | number", cases: {3: []}, else: []}',
        ],
        SKIPPED,
    ),
    # What is drawn by the contact, by the journey and by a template; one that is blank, tried again and skipped.
    "split": Recording(
        [
            f"{{split: {{a: 50, b: 45, none: 5}}, seed: tone, branches: {BRANCHES}}}",
            "{split: {x: 50, y: 50}, by: journey}",
            "{split: {x: 33.33, y: 66.67}, by: '{{ contact.firstname }}'}",
            "{split: {x: 0, y: 100}, by: '{{ contact.custom.store }}', branches: {y: [{exit: no}]}}",
        ],
        SKIPPED,
    ),
    # A contact who is let in to get nothing.
    "control": Recording([SMS], more="control: 99.99\n"),
    # Waits for the first of several events: one that came early, one that comes, none.
    "several": Recording(
        [
            "{wait: 1s}",
            "{wait_for: {a: {if: event.n == 1, then: [" + SMS + "]}, b: {}}, for: 7d, else: [{exit: no}]}",
            "{wait_for: {c: {then: [" + MAIL + "]}, d: {if: event.n == 1}}}",
            "{wait_for: {e: {}, f: {then: [{exit: no}]}}, for: 1s, else: [{exit: late}]}",
        ],
        [
            *(event("a", n=2), event("b", n=2), event("a", n=1), reached(step="wait_for-3")),
            *(event("d", n=2), event("c", n=2)),
        ],
    ),
    # A journey that notes why it is held, and once more at another step.
    "noted": Recording(
        [NO.replace("ON", "hold"), NO.replace("ON", "hold").replace("webhook: hook", "webhook: other"), SMS],
        [*RETRIED, reached("held", "other"), order("skip_step")],
    ),
    # Events that come together: all but the first while a condition is asked about that.
    "together": Recording(["{wait_for: a, if: event.n == 2}", MAIL], [reached("waiting"), together]),
}

# ---- all others


async def continued(recorder: Recorder) -> None:
    """Continue-as-new in the middle of a wait, with events, a step done and a patch of the contact carried along."""
    handle = await recorder.start("continued", [MAIL, "{wait_for: go}", EARLY.replace("7d", "30d")], ORDER)
    await handle.signal("event", {**DELIVERED, "id": "e-1"})
    await handle.signal("contact_changed", {"firstname": "Zoë", "custom": {"vip": True}})
    await (await recorder.continued(handle, "page.viewed")).signal("event", {"name": "go"})
    await recorder.save_runs("continued", handle)


async def unstarted(recorder: Recorder) -> None:
    """An entry that may not come in; an argument that is none; an unknown workflow type; an entry of too many parts."""
    parts: dict[str, Any] = {"id": 1, "custom": {"a": [[]] * (MOST_PARTS + 1)}}
    arguments: dict[str, tuple[str, Any]] = {
        "refused": ("Journey", {"scenario": "unheard-of", "contact": {"id": 1}, "trigger": SEGMENT}),
        "no-entry": ("Journey", "hello"),
        "unknown": ("Letter", {"a": 1}),
        "crowded": ("Journey", {"scenario": "crowded", "contact": parts, "trigger": SEGMENT}),
    }
    for name, (workflow, argument) in arguments.items():
        await recorder.save(name, await recorder.raw(workflow, argument))


async def entered(recorder: Recorder) -> None:
    """A workflow that starts a journey; one that may not come in; one whose contact is in already."""
    await recorder.publish("entered", ["{wait: 30d}"])
    entry: dict[str, Any] = {"scenario": "entered", "contact": {"id": 1}, "trigger": SEGMENT}
    await recorder.save("entered", await recorder.raw("Enter", entry))
    await recorder.save("entered-twice", await recorder.raw("Enter", entry))
    more = "entry: {if: contact.firstname == 'Ann'}\n"
    await recorder.publish("entered", ["{wait: 30d}"], more=more)
    entry["contact"] = {"id": 2}
    await recorder.save("entered-refused", await recorder.raw("Enter", entry))
    await recorder.place.client.send("entered/1", Operation.LEAVE, operator="ann", reason="seen")


async def under_way(recorder: Recorder) -> None:
    """Journeys that are not over: in a wait, and held."""
    for name, step, state in (("waiting", "{wait: 30d}", "waiting"), ("holding", NO.replace("ON", "hold"), "held")):
        handle = await recorder.start(name, [MAIL, step, SMS])
        await recorder.reached(handle, state)
        await recorder.save(name, handle, over=False)
        await handle.terminate()


async def kept_back(recorder: Recorder) -> None:
    """A delivery that may not leave yet, and a retry: the journey waits for its moment, asks again, and it is sent."""
    for name, step, later in (("kept-back", SMS, []), ("deferred", BUSY.replace("busy", "deferred"), [None])):
        answers: list[Ruling] = [Defer(datetime.now(UTC) + timedelta(seconds=6), "quiet hours", "quiet"), *later]

        async def may_leave(attempt: OpenAttempt, address: str = "", answers: list[Ruling] = answers) -> None:
            del address
            attempt.obey(answers.pop() if answers else None)

        with patch.object(OpenAttempt, "may_leave", may_leave):
            await recorder.save(name, await recorder.start(name, [step, MAIL]))


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


async def repeat(recorder: Recorder) -> None:
    """Rounds in rounds, over runs; a condition that ends one, an event that ends another, one that is skipped."""
    inner = "{repeat: {every: 1s, times: 3, until: contact.firstname == 'Ann'}, steps: [" + SMS + "]}"
    outer = "{repeat: {every: 2s, times: 9, until: {event: enough}}, steps: [" + inner + "]}"
    held = "{repeat: {every: 30d, times: 2, until: contact.custom.n > 2}, steps: [" + MAIL + "]}"
    last = "{repeat: {every: 30d, times: 2}, steps: [{wait: 0s}]}"
    handle = await recorder.start("repeat", [outer, held, last], custom={"n": "x"})
    latest = await recorder.continued(handle)
    await latest.signal("event", {"name": "enough"})
    await recorder.reached(latest, "held")
    await latest.signal("contact_changed", {"custom": {"n": None}})
    await recorder.order(latest, "retry_step")
    await recorder.reached(latest, "waiting", "repeat-2")
    await recorder.order(latest, "skip_step", step="repeat-2")
    await recorder.reached(latest, "waiting", "repeat-3")
    await latest.signal("contact_changed", {"timezone": "Asia/Tokyo"})
    await recorder.order(latest, "leave")
    await recorder.save_runs("repeat", handle)


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
            await until(progress(handle), lambda now: now["goal"]["reached_at"])
            await handle.signal("event", {"name": "order.placed", "properties": {"total": 100}})
            await handle.signal("event", {"name": "go"})
        await recorder.save(name, handle)


async def counted(recorder: Recorder) -> None:
    """Continue-as-new behind steps that are counted first; the next run carries none of them along."""
    handle = await recorder.start("counted", [MAIL, "{wait_for: go}", SMS], ORDER)
    await (await recorder.continued(handle, "page.viewed")).signal("event", {"name": "go"})
    await recorder.save_runs("counted", handle)


async def migrated(recorder: Recorder) -> None:
    """Put into other versions: in a wait, in a repetition, in a back-off, and held; refused once."""
    rounds = "{repeat: {every: EVERY, times: 2}, id: NAME, steps: [" + SMS + "]}"
    first = [MAIL, "{wait: 30d, id: rest}", rounds.replace("EVERY", "30d").replace("NAME", "rounds")]
    hook = NO.replace("ON", "hold")
    slow = SLOW.replace("webhook: hook", "webhook: slow")
    handle = await recorder.start("migrated", [*first, slow, hook])
    await recorder.reached(handle, "waiting")
    again = rounds.replace("EVERY", "1s").replace("NAME", "again")
    second = [MAIL, "{wait: 1s, id: pause}", rounds.replace("EVERY", "20d").replace("NAME", "rounds")]
    await recorder.publish("migrated", [*second, slow, hook])
    with contextlib.suppress(WorkflowUpdateFailedError):
        await recorder.order(handle, "migrate", version="newest")
    await recorder.order(handle, "migrate", version=2, map={"rest": "pause"}, waits="restart")
    await recorder.reached(handle, "waiting", "rounds")
    await recorder.publish("migrated", [*second[:2], again, slow, hook])
    await recorder.order(handle, "migrate", version=3, map={"rounds": "again"})
    await recorder.reached(handle, step="slow")
    await recorder.called("/hooks.example.com/slow")
    await recorder.order(handle, "migrate", version=2, map={"again": "rounds"})
    await recorder.order(handle, "retune", retry=FAST)
    await recorder.reached(handle, "held")
    mended = MENDED.replace("FIELD", "firstname").replace("webhook: hook", "webhook: mended")
    await recorder.publish("migrated", [mended, LAST])
    await recorder.order(handle, "migrate", version="newest", map={"hook": "mended"})
    await recorder.order(handle, "retry_step")
    await recorder.reached(handle, "held")
    await recorder.order(handle, "skip_step")
    await recorder.newest(handle).result()
    await recorder.save_runs("migrated", handle)


async def followed(recorder: Recorder) -> None:
    """It follows newer versions: there is none, there is one, there is one in which its next step is gone."""
    await recorder.publish("followed", [MAIL, "{wait: 6s}", SMS, "{wait: 6s}", LAST], journeys="follow")
    handle = await recorder.enter("followed", id=1, email="zoe@example.com", cellphone="+33612345678")
    await recorder.reached(handle, "waiting")
    await recorder.publish(
        "followed", [MAIL, "{wait: 1s}", NO.replace("ON", "continue"), SMS, "{wait: 6s, id: wait-4}"], journeys="follow"
    )
    await recorder.reached(handle, step="wait-4")
    await recorder.publish("followed", [SMS], journeys="follow")
    await recorder.save("followed", handle)


async def operations(recorder: Recorder) -> None:
    """Operations on many journeys: one to its end, one that is stopped at work, one that only looks."""
    client = recorder.place.client
    await recorder.publish("operation", [NO.replace("ON", "hold"), "{wait: 30d}"])
    for number in range(3):
        await recorder.reached(await recorder.enter("operation", id=f"o{number}"), "held")
    await until(partial(client.held, scenario="operation"), lambda held: len(held) == 3)
    which = JourneyFilter(scenario="operation")
    for name in ("operation-looks", "operation", "operation-stopped"):
        verb, rate = (Operation.PAUSE, 0.1) if name == "operation-stopped" else (Operation.SKIP, 10.0)
        looks = name == "operation-looks"
        begun = await client.operate(verb, which, operator="ann", reason="incident 42", rate=rate, dry_run=looks)
        handle = client.temporal.get_workflow_handle(f"operation:{begun.id}")
        if name == "operation-stopped":
            await until(partial(client.operation, begun.id), lambda view: view.state == "running")
            await client.stop_operation(begun.id, operator="bob", reason="wrong one")
        await recorder.save(name, handle)


async def campaign(recorder: Recorder) -> None:
    """A campaign of journeys that is paused, resumed and retuned, and one without journeys that is stopped at work."""
    client, campaigns = recorder.place.client, recorder.place.client.services.campaigns
    await recorder.publish("campaign", [SMS])
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
            show = partial(campaigns.show, TERMINAL, name)
            await until(show, lambda view: view.state == "ready")
            await campaigns.change(TERMINAL, name, "start", **WHO)
            await until(show, lambda view: view.done >= 2)
            if name == "campaign":
                await campaigns.change(TERMINAL, name, "pause", **WHO)
                await campaigns.change(TERMINAL, name, "resume", **WHO)
                await campaigns.change(TERMINAL, name, "retune", rate=20.0, **WHO)
            else:
                await campaigns.change(TERMINAL, name, "stop", **WHO)
            await recorder.save(name, client.temporal.get_workflow_handle(f"campaign:{name}"))


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
    entry = {"scenario": "handed-over", "contact": {"id": "p1"}, "trigger": SEGMENT, "key": "sale"}
    await hand_over(client.temporal, entry=entry, root=root, state=state, workflow_id=identifier, summary="sale")
    handle = client.temporal.get_workflow_handle(identifier, result_type=dict)
    await recorder.reached(handle, "held")
    await recorder.order(handle, "retry_step")
    await recorder.save("handed-over", handle)


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


async def batch(recorder: Recorder) -> None:
    """A batch that is full, held and tried again, and a journey that waits for it."""
    handle = await recorder.start("batch", [BATCH, "{wait: 1s}"])
    await recorder.enter("batch", id="other")
    items = await until(partial(recorder.place.services.store.batch_items_of, "other"))
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


_FIRST: Final = {
    **{make: f"{make.__name__}-1" for make in (counted, continued, repeat, migrated)},
    unstarted: "refused",
    under_way: "waiting",
    operations: "operation",
}
"""Names of histories that the names of their recordings do not give."""
RECORDINGS: Final[dict[str, Callable[[Recorder], Awaitable[None]]]] = {
    **{name: partial(one.record, name) for name, one in JOURNEYS_OF_ONE_RUN.items()},
    **{
        _FIRST.get(make, make.__name__.replace("_", "-")): make
        for make in (
            *(continued, unstarted, entered, under_way, kept_back, policies, repeat, goal, counted, migrated, followed),
            *(operations, campaign, handed_over, audience, batch, pruned, erased),
        )
    },
}
"""By the name of the (first) history that each writes."""


def _path(name: str) -> Path:
    return FOLDER / f"{name}.json"


def _lacks(name: str, wanted: list[str]) -> bool:
    return (not wanted or name in wanted) and not _path(name).exists()


async def record(wanted: list[str]) -> None:
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
