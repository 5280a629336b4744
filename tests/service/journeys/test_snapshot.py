"""What is seen of one journey: its snapshot, its state in a word, and what was sent, rendered again."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError
from temporalio.service import RPCError, RPCStatusCode

from activities.failures import FailureKind
from authoring.errors import BadInput
from authoring.preview.rendering import MessageRenderer
from runtime.store import Store
from service.client import ScenarioClient
from service.journeys.rendered import RenderedDelivery, rendered, scheduled, submitted_entry
from service.journeys.snapshot import SHOWN, JourneySnapshot, read, why_failed
from service.why.story import told
from tests import factories
from tests.factories import admission_request, present, publish
from tests.journey import ENTRY, HELD, PROGRESS, START, attempt
from tests.journey import shown as shown_journey
from tests.stage import Stage, failing


async def forgotten(*_: Any, **__: Any) -> Any:
    raise RPCError("not found", RPCStatusCode.NOT_FOUND, b"")


@pytest.fixture
def temporal() -> Client:
    """A server that has forgotten everything."""
    service = SimpleNamespace(describe_workflow_execution=forgotten)
    return cast("Client", SimpleNamespace(namespace="default", workflow_service=service))


@pytest.mark.parametrize(("count", "shown", "earlier"), [(SHOWN, SHOWN, False), (SHOWN + 5, SHOWN, True)])
async def test_of_very_many_attempts_the_newest_are_seen_and_that_there_are_more(
    store: Store, temporal: Client, count: int, shown: int, earlier: bool
):
    await store.admit(admission_request("7", "a", key="K1", run_id="r1", now=START))
    await store.record([attempt("hook", n, started_at=START + timedelta(seconds=n)) for n in range(1, count + 1)])
    report = shown_journey(await read(temporal, store, "a/7/K1", None))
    assert (len(report["deliveries"]), report["earlier_deliveries"]) == (shown, earlier)
    assert report["deliveries"][-1]["attempt"] == count


async def test_each_journey_of_one_id_is_seen_with_its_own_deliveries(store: Store, temporal: Client):
    runs = [f"0000000{nth}-0000-0000-0000-000000000000" for nth in range(3)]
    for nth, run in enumerate(runs):
        begin = START + timedelta(days=nth)
        await store.admit(admission_request("7", "a", key="K1", run_id=run, now=begin))
        await store.depart("a/7/K1", run, "finished", None, begin + timedelta(hours=1))
        # The last one comes after the end: of a reset.
        moments = (begin, begin + timedelta(hours=2))
        await store.record([attempt("hook", n, run_id=run, started_at=at) for n, at in enumerate(moments, 1)])
    for run in (*runs, None):
        seen = await read(temporal, store, "a/7/K1", run)
        assert [item.run_id for item in seen.attempts] == [run or runs[-1]] * 2


SALE = """
scenario: a
trigger: segment
steps:
  - split: {red: 50, blue: 50}
    id: tone
  - if: contact.firstname == blank
    id: named
    then: [{exit: nameless}]
  - webhook: hook
    url: https://hooks.example.com/a
    body: {}
"""


async def test_one_that_a_campaign_sent_without_a_workflow_is_shown_as_such(store: Store, temporal: Client):
    await publish(store, SALE)
    given = {"key": "sale", "run_id": "r1", "now": START, "trigger": "segment", "root": "r1"}
    await store.admit(admission_request("7", "a", branches={"tone": "blue"}, **given))
    assert shown_journey(await read(temporal, store, "a/7/sale", None))["state"] == "running"
    await store.record([attempt("hook", 1, workflow_id="a/7/sale", outcome="delivered", status=200)])
    await store.depart("a/7/sale", "r1", "finished", None, START + timedelta(seconds=2))
    seen = await read(temporal, store, "a/7/sale", None)
    view = shown_journey(seen)
    assert [view[name] for name in ("campaign", "status", "state", "at")] == ["sale", "inline", "finished", None]
    assert [(step["id"], step["outcome"], step["status"]) for step in view["steps"]] == [
        ("tone", "blue", None),
        ("named", "else", None),
        ("hook", "delivered", 200),
    ]
    story = told(seen, present(seen.entry))
    assert [one.words for one in story.happenings] == [
        "let in by segment with the key sale to be sent by the campaign sale without a workflow",
        "blue (split red 50 blue 50)",
        "else (if contact.firstname == blank)",
        "sent to hooks.example.com (200)",
        "finished",
    ]


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (ApplicationError("the entry has no contact"), "failed: the entry has no contact"),
        (TerminatedError("zoe@example.com"), "was terminated"),
        (CancelledError("zoe@example.com"), "was cancelled"),
        (ValueError("zoe@example.com"), "failed: see it in Temporal's UI"),
        (None, "failed: see it in Temporal's UI"),
    ],
)
def test_a_journey_without_a_result_is_told_by_how_it_ended(cause: BaseException | None, said: str):
    assert why_failed(cause) == said


SCENARIO = """
scenario: told
trigger: segment
steps:
  - repeat: {every: 1d, times: 2}
    steps:
      - webhook: poll
        url: https://hooks.example.com/{{ contact.id }}
        headers: {Authorization: "Bearer {{ secrets.WAX_TOKEN }}"}
        body: {name: "{{ contact.firstname }}", at: "{{ now | date: '%d' }}"}
  - if: contact.firstname == 'nobody'
    then:
      - sms: never
        text: hi
  - email: last
    subject: TEXT {{ contact.firstname }}
    text: bye
"""


async def shown(client: ScenarioClient, journey: str, step: str) -> list[RenderedDelivery]:
    return await rendered(client.temporal, client.store, await client.show(journey), step, MessageRenderer())


async def test_each_round_is_rendered_again_with_secrets_masked(stage: Stage, client: ScenarioClient):
    await stage.publish(SCENARIO.replace("TEXT", "Dear"))
    handle = await stage.start("told", contact={"id": 7, "firstname": 'Zo"é'})
    assert (await handle.result())["outcome"] == "finished"
    entry = present(await submitted_entry(client.temporal, "told/7"))
    assert entry["contact"]["firstname"] == 'Zo"é'
    first, second = found = await shown(client, "told/7", "poll")
    days = [item.delivery.now[8:10] for item in found]
    bodies = [item.report()["request"]["body"] for item in found]
    assert bodies == [f'{{"name":"Zo\\"é","at":"{day}"}}' for day in days]
    assert first.delivery.id != second.delivery.id
    request = first.report()["request"]
    assert request["url"] == "https://hooks.example.com/7"
    assert request["headers"]["authorization"] == "Bearer ~~WAX_TOKEN~~"
    given = {"workflow_id": "told/7", "run_id": handle.result_run_id, "step": "poll"}
    made = [factories.attempt(second.delivery.id, attempt=number, **given) for number in (1, 2)]
    assert await scheduled(client.temporal, made) == [(second.delivery, second.scheduled_at)]
    (last,) = await shown(client, "told/7", "last")
    assert last.report()["message"]["subject"] == 'Dear Zo"é'
    for step, said in [
        ("never", "step never has sent nothing: the journey has not come to it"),
        ("if-2", "'if-2' sends nothing: there are poll, never and last"),
        ("pol", "'pol' is none of its steps: did you mean 'poll'?"),
    ]:
        with pytest.raises(BadInput, match=rf"^{said.replace('?', '[?]')}$"):
            await shown(client, "told/7", step)


async def test_what_was_rendered_by_another_version_is_shown_as_well(stage: Stage, client: ScenarioClient):
    await stage.publish(SCENARIO.replace("TEXT", "Dear").replace("times: 2", "times: 1"))
    stage.channels.scripts["last"] = failing(FailureKind.PERMANENT)
    handle = await stage.start("told", contact={"id": 8, "firstname": "Zoé"})
    await stage.until(handle, "held")
    await stage.publish(SCENARIO.replace("TEXT", "Hello").replace("times: 2", "times: 1"))
    who = {"operator": "ann", "reason": "x"}
    await stage.operate(handle, "retry_step", {**who, "version": "newest"})
    async with asyncio.timeout(60):
        while len(found := await shown(client, "told/8", "last")) < 2:
            await asyncio.sleep(0.02)
    assert [item.report()["message"]["subject"] for item in found] == ["Dear Zoé", "Hello Zoé"]
    assert [item.report()["scenario"] for item in found] == ["told@1", "told@2"]
    await stage.until(handle, "held")
    await stage.operate(handle, "skip_step", who)


async def test_what_temporal_has_forgotten_cannot_be_rendered(stage: Stage, client: ScenarioClient):
    await stage.publish(SCENARIO.replace("times: 2", "times: 1"))
    handle = await stage.start("told", contact={"id": 9})
    await handle.result()
    view = await client.show("told/9")
    run = "00000000-0000-0000-0000-000000000000"
    gone = replace(view, run_id=run, entry=replace(present(view.entry), run_id=run))
    said = r"^Temporal has forgotten the history of told/9, and with it what was sent: see"
    with pytest.raises(BadInput, match=said):
        await rendered(client.temporal, client.store, gone, "poll", MessageRenderer())


OVER = replace(ENTRY, ended_at=START + timedelta(days=1), outcome="exited", reason="event order.returned")
BARE = JourneySnapshot("a/7/K1", "r2", "running", None, None, ())


PAUSE = {"name": "pause", "operator": "ann", "reason": "sale", "at": "2026-03-31T08:30:00+00:00", "step": "hook"}
RESUME = {**PAUSE, "name": "resume"}
PAUSES: list[tuple[list[dict[str, Any]], dict[str, Any] | None]] = [
    ([], None),
    ([PAUSE, {**PAUSE, "name": "retry_step"}], PAUSE),
    ([PAUSE, RESUME], None),
    ([PAUSE, RESUME, PAUSE], PAUSE),
]


def test_a_held_journey_may_be_paused_as_well():
    for orders, pause in PAUSES:
        view = replace(HELD, progress={**PROGRESS, "operations": orders})
        assert (shown_journey(view)["state"], shown_journey(view)["paused"]) == ("held", pause)
        assert shown_journey(replace(view, status="completed"))["paused"] is None


ANSWERED, ENDED = "hooks.example.com answered 503", "event order.returned"
FINISHED = {"outcome": "finished", "reason": ""}
REFUSED = {"outcome": "refused", "reason": "it is admitted only once"}
UNANSWERED = replace(HELD, progress=None)
STATES: dict[str, tuple[JourneySnapshot, str, str | None]] = {
    "nobody has looked at it": (BARE, "entering", None),
    "a worker answers": (HELD, "held", ANSWERED),
    "search knows": (replace(UNANSWERED, state="waiting"), "waiting", None),
    "nobody knows more": (UNANSWERED, "running", None),
    "paused on the server": (replace(HELD, status="paused"), "paused", ANSWERED),
    "it finished": (replace(UNANSWERED, status="completed", entry=OVER, result=FINISHED), "finished", ENDED),
    "it was refused": (replace(BARE, status="completed", result=REFUSED), "refused", "it is admitted only once"),
    "it failed": (replace(UNANSWERED, status="failed", failure="failed: no"), "failed", "failed: no"),
    "it was terminated": (replace(HELD, status="terminated", failure="was terminated"), "terminated", "was terminated"),
    "only the store knows it": (replace(UNANSWERED, status="forgotten", entry=OVER), "exited", ENDED),
    "it never took leave": (replace(UNANSWERED, status="forgotten"), "lost", None),
}


@pytest.mark.parametrize(("view", "state", "reason"), STATES.values(), ids=STATES.keys())
def test_one_word_says_how_it_is(view: JourneySnapshot, state: str, reason: str | None):
    told = shown_journey(view)
    assert (told["state"], told["reason"]) == (state, reason)
    if view.status not in ("running", "paused"):
        assert (told["at"], told["since"], told["waiting"]) == (None, None, None)


def test_without_a_worker_the_place_comes_from_search():
    told = shown_journey(replace(HELD, progress=None, state="waiting", step="wait-3"))
    assert (told["at"], told["answered"]) == ("wait-3", False)
    places = [(step["id"], step["state"]) for step in told["steps"]]
    assert places == [("wait-3", "now"), ("bye", "to come"), ("later", "to come")]
