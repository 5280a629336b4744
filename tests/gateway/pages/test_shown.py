"""What pages say, and where their links lead, about one of everything: the transcript `shown.txt`."""

import os
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import time_machine
from selectolax.lexbor import LexborHTMLParser

from activities.webhook.destinations.reading import DestinationsFile
from runtime.store import Closure, OperationItem, Passage, Store
from runtime.store.campaigns import CampaignItem
from service.held import HeldGroupKey
from service.journeys.snapshot import DeliveryStatus
from tests import factories
from tests.cli.samples import ATTEMPTS, FULL, RESULTS
from tests.cli.test_printed import hold_everything
from tests.gateway.pages.conftest import Document, Site, visited
from tests.gateway.pages.test_journeys import WHY
from tests.gateway.pages.test_scenario import RULED
from tests.journey import ENTRY, HELD, PROGRESS, START
from tests.search import Search
from tests.service.operations.test_retry_policy import activity
from tests.service.test_operations_and_campaigns import SURVEY
from tests.service.test_stats import SALE, publish

TRANSCRIPT = Path(__file__).with_name("shown.txt")
NOW = START + timedelta(hours=2)
ODD = HeldGroupKey("reward", "<b>", None, None)
WAX = HeldGroupKey("winback", "wax", "slow", "permanent")
BOOK = """
destinations:
  calm: {url: "https://calm.example.com", rate: 7/s, concurrency: 3, breaker: off}
  slow: {url: "https://slow.example.com", rate: 9/s, timeout: 4s, retry: {initial_interval: 2s, maximum_attempts: 9}}
"""
PAUSE = {"name": "pause", "operator": "ann", "reason": "a recall", "at": START.isoformat(), "step": "pause"}
RESUME = {"for": "resume", "operator": "ann", "reason": "a recall"}
GOING = DeliveryStatus(step="hook", state="scheduled", attempt=3, next_try_at=NOW, why="hooks.example.com answered 503")
JOURNEYS = {
    "a/7/K1": FULL,
    "a/waiting": {"at": "pause", "waiting": {"for": "time", "until": "2026-04-02T22:30:00+00:00"}},
    "a/paused": {"state": "paused", "at": "pause", "operations": [PAUSE], "waiting": RESUME},
    "a/kept-back": {"waiting": {"for": "quiet hours", "until": "2026-04-01T06:00:00+00:00"}},
    "a/going": replace(HELD, progress={**PROGRESS, "state": "running", "waiting": None}, pending=(GOING,), attempts=()),
    "a/over": replace(HELD, status="forgotten", progress=None, entry=replace(ENTRY, ended_at=NOW, outcome="finished")),
}


async def fill_everything(store: Store, temporal: Search) -> None:
    """Have one of everything on record, or found by search."""
    await hold_everything(store)
    await store.record(ATTEMPTS)
    for text in (SALE, RULED):
        await publish(store, text)
    sent = {"scenario": "sale", "run_id": "r", "destination": "slow"}
    states = [("waiting", "wait-2"), ("retrying", "hook"), ("held", "hook"), None, None, None, ("waiting", "wait-2")]
    for number, at in enumerate(states):
        now = START - timedelta(minutes=number)
        await store.admit(factories.admission_request(str(number), "sale", run_id="r", now=now))
        if at is not None:
            known = {"ScenarioName": "sale", "ScenarioVersion": "sale@1", "JourneyState": at[0], "StepId": at[1]}
            temporal.add(f"sale/{number}", **known, StartTime=now.isoformat())
    for number, minutes in ((3, 20), (4, 30), (5, 10)):
        await store.depart(f"sale/{number}", "r", "finished", None, START + timedelta(minutes=minutes))
    await store.record(
        [
            factories.attempt("msg_s0", **sent, workflow_id="sale/0", step="mail", channel="email", started_at=START),
            factories.retried_attempt("msg_s1", **sent, workflow_id="sale/1", started_at=START, next_try_at=NOW),
            factories.attempt("msg_s2", **sent, workflow_id="sale/2", started_at=START, outcome="failed", status=410),
        ]
    )
    retried = activity("hook")
    for moment in (retried.next_attempt_schedule_time, retried.expiration_time):
        moment.FromDatetime(NOW + timedelta(minutes=30))
    temporal.sending["sale/1"] = [retried]
    for journey, *outcomes in (("sale/0", "delivered"), ("sale/1", "delivered", "skipped")):
        steps = [Passage(1, step, outcome, START) for step, outcome in zip(("mail", "wait-2"), outcomes, strict=False)]
        await store.count_passages(journey, "r", 0, steps)
    temporal.hold(WAX, 4)
    temporal.hold(ODD, since=None)
    await store.add_campaign(factories.stored_campaign("spring", paused_by="bob", pause_reason="look <closely>"))
    lines = [
        CampaignItem(line=2, contact_id="7", journey="offer/7/sale", outcome="entered", answered_at=START),
        CampaignItem(line=3, outcome="invalid", reason="no <id>", answered_at=START),
        CampaignItem(line=4, contact_id="8", journey="offer/8/sale"),
    ]
    await store.add_campaign_items("spring", lines)
    survey = SURVEY.model_copy(update={"lines": 10, "entries": 9, "invalid": 1, "unknown_columns": ("contact.emial",)})
    await store.add_campaign(
        factories.stored_campaign("advent", loaded_at=START, survey=survey.model_dump(mode="json"), created_at=START)
    )
    which = {"scenario": "winback", "step": "wax", "destination": "wax", "reason": "permanent"}
    request = {"which": {"destination": "crm"}, "more": {"retry": {"maximum_interval": 2.0}}}
    more: dict[str, Any] = {"verb": "retune", "operator": "Bob (key b)", "created_at": START + timedelta(hours=1)}
    await store.add_operation(
        factories.stored_operation("op1", reason="wax <is> back", created_at=START, request={"which": which})
    )
    await store.add_operation(factories.stored_operation("op2", request=request, **more))
    items = [("winback/0", "accepted", None), ("sale/0", "refused", "it is not held"), ("winback/1", None, None)]
    await store.add_items(
        "op1",
        [OperationItem(number=n, workflow_id=w, step="wax", outcome=o, reason=r) for n, (w, o, r) in enumerate(items)],
    )
    await store.close_scenario(Closure("sale", START, "bob", "it is <i>over</i>"))
    temporal.queues["email"] = (0, 1)


async def fill_pages(site: Site, temporal: Search) -> None:
    await fill_everything(site.store, temporal)
    for name, seen in JOURNEYS.items():
        if isinstance(seen, dict):
            seen = replace(HELD, progress={**PROGRESS, "state": "waiting", **seen}, attempts=())
        site.client.views[name] = replace(seen, id=name)
    site.client.contacts["7"] = WHY


BLOCKS = r"</?(?:tr|p|li|h\d|ul|ol|dl|div|section|summary|option|caption|label|form|pre|figure|fieldset|button)\b"


def words(page: Document, selector: str) -> str:
    """Return the text of a part of a page, a line a block, with `(address)` before each link's text."""
    (part, *_) = LexborHTMLParser(page.html).css(selector)
    text = re.sub(r'<a\b[^>]*?href="([^"]*)"[^>]*>', r"(\1) ", str(part.html))
    text = re.sub(r'<svg\b.*?aria-label="([^"]*)".*?>(.*?)</svg>', drawing, text, flags=re.DOTALL)
    text = re.sub(r"</dt>|<(?=br|span|small|code|b\b)", r" \g<0>", text)
    text = re.sub(r"</t[hd]>\s*(?=<t[hd])", " | ", re.sub(BLOCKS, r"\n\g<0>", text))
    return "\n".join(filter(None, (" ".join(line.split()) for line in LexborHTMLParser(text).text().splitlines())))


def drawing(found: re.Match[str]) -> str:
    return f"<p>[{found[1]}] {' '.join(re.sub('<[^>]*>', ' ', found[2]).split())}</p>"


async def told(site: Site, lines: list[str]) -> str:
    """Return the parts of pages that these lines name, each by an address and a selector."""
    name, shown = await site.sign_in("read", "operate", "publish", "erase"), list[str]()
    for line in lines:
        address, _, part = line.removeprefix("empty ").partition(" ")
        shown.append(f"# {line}\n{words(await site.get(address), part or 'main')}\n")
    return re.sub(r"(?<![_\w])[0-9a-f]{32}\b", "ID", "\n".join(shown).replace(name, "KEY"))


async def test_what_is_shown_is_that_of_the_transcript(store: Store, temporal: Search, tmp_path: Path):
    """Run with SCENARIO_WRITE_SHAPE=1 to accept a deliberate change, or to add an address."""
    (tmp_path / "destinations.yaml").write_text(BOOK)
    given: dict[str, Any] = {
        "book": DestinationsFile(tmp_path / "destinations.yaml"),
        "temporal_ui": "http://ui.example",
    }
    lines = re.findall(r"^# (.*)", TRANSCRIPT.read_text("utf-8"), re.MULTILINE)
    with time_machine.travel(NOW, tick=False):
        async with visited(temporal, store, **given) as site:
            shown = await told(site, [line for line in lines if line.startswith("empty ")])
        async with visited(temporal, store, **given) as site:
            await fill_pages(site, temporal)
            site.client.services.journeys.results = AsyncMock(return_value=RESULTS)
            shown += "\n" + await told(site, [line for line in lines if not line.startswith("empty ")])
            charts = await site.get("/scenarios/sale/trends?days=7")
            assert charts.values("svg.chart rect", "height") == ["100.0", *["50.0"] * 4], "one scale for each kind"
    if os.environ.get("SCENARIO_WRITE_SHAPE"):
        TRANSCRIPT.write_text(shown, "utf-8")
    assert shown == TRANSCRIPT.read_text("utf-8")
