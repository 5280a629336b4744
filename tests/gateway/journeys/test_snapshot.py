"""What is seen of one journey: from the store alone, where Temporal has forgotten it, and without a result."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, CancelledError, TerminatedError
from temporalio.service import RPCError, RPCStatusCode

from gateway.journeys.snapshot import SHOWN, read, why_failed
from gateway.why.story import told
from runtime.store import Store
from tests.factories import admission_request, publish
from tests.gateway.journey import START, attempt
from tests.gateway.journey import shown as shown_journey


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
) -> None:
    await store.admit(admission_request("7", "a", key="K1", run_id="r1", now=START))
    await store.record([attempt("hook", n, started_at=START + timedelta(seconds=n)) for n in range(1, count + 1)])
    report = shown_journey(await read(temporal, store, "a/7/K1", None))
    assert (len(report["deliveries"]), report["earlier_deliveries"]) == (shown, earlier)
    assert report["deliveries"][-1]["attempt"] == count


async def test_each_journey_of_one_id_is_seen_with_its_own_deliveries(store: Store, temporal: Client) -> None:
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


async def test_one_that_a_campaign_sent_without_a_workflow_is_shown_as_such(store: Store, temporal: Client) -> None:
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
    assert seen.entry is not None
    story = told(seen, seen.entry)
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
def test_a_journey_without_a_result_is_told_by_how_it_ended(cause: BaseException | None, said: str) -> None:
    assert why_failed(cause) == said
