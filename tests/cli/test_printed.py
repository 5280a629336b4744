"""What commands print about one of everything: to people in `printed.txt`, to programs in `json.json`, a contract."""

import json
import os
import re
import shlex
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from activities.interface import Delivery
from activities.webhook.channel import RenderedRequest
from authoring.preview.rendering import NothingToSend, RenderProblem
from cli.output import Table, progress
from runtime.api_keys import ApiKey
from runtime.store import Closure, Store
from service.journeys.rendered import RenderedDelivery
from service.reconcile.reconcile import MissingVersion, Reconciliation
from service.results import ResultsView
from service.stats import StatsView
from tests.cli import samples
from tests.cli.conftest import Client, Run, Stored
from tests.cli.test_campaign import Campaigns
from tests.fakes import Ran, Terminal
from tests.journey import START
from tests.runtime.store.test_batches import BATCH, item
from tests.runtime.store.test_memberships import VIP, membership
from tests.service.test_outgoing import held

TEXT, JSON = (Path(__file__).with_name(name) for name in ("printed.txt", "json.json"))
COMMANDS = (
    *("show a/7/K1", f"show {samples.LONG}", "list", "list --held", "deliveries", "overview", "versions", "keys list"),
    *("stats sale", "stats sale --by day --days 2", "results sale --version 2", "why 7 a --step hook"),
    *("destinations --now", "policies policies.yaml", "erasures", "erasures e1", "campaign list"),
    *("campaign show advent", "campaign results advent", "migrate a --dry-run"),
    *("retry --destination wax --reason x --dry-run", "retune wax --deadline 5d --reason x --dry-run"),
    *("erase 7 --operator ann --reason x --wait", "results sale", "results sale --version 1", "stats sale --version 3"),
    *("outgoing list", "outgoing show crm", "audience list", "audience show vip", "batch list"),
    *("batch show batch-1", "batch show batch-1 --outcome refused", f"store reconcile --since {START:%FT%H:%MZ}"),
    *("store reconcile", "store reconcile --repair", "store reconcile --repair --rate 5 --verbose"),
    *("show a/7/K1 --rendered hook", "campaign check s.yaml --audience people.csv", "destinations destinations.yaml"),
    *("test s.yaml", "test . --case well", "check bad.yaml", "check late.yaml", "check s.yaml"),
)
TO_COPY = ("$ ", "! ", "erased at", "only the newest")
LINES = ("campaign results", "store reconcile")
"""Commands whose JSON is one object a line."""
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DESTINATIONS = """
default: {rate: 50/s, breaker: off, public_secrets: [PUBLIC]}
destinations:
  wax:
    url: https://api.wax.example/v1/accounts/77
    headers: {Authorization: "Bearer {{ secrets.TOKEN }}"}
    secrets: [ACCOUNT]
    signing: [{key: NEW}, {key: OLD, until: 2999-01-01T00:00:00Z}, {key: GONE, until: 2020-01-01T00:00:00Z}]
    rate: 10/s
"""
POLICIES = """
quiet_hours: {from: "21:00", to: "08:00", days_off: [sun, FR], channels: [sms, wax], spread: 15m}
holdout: {share: 5, seed: 2026-q4}
caps:
  - {name: sms-a-day, channels: [sms], at_most: 1, per: day}
  - {name: week, at_most: 4, per: 7d}
"""
SCENARIO = """
scenario: s
trigger: birthday
steps:
  - {sms: hi, text: "Hello\\nyou"}
"""
CASES = """
entry: {scenario: s, contact: {id: 7, cellphone: "+33612345678"}, trigger: {type: birthday}}
at: 2026-03-02T09:00
cases:
  all is well:
    expect: {ends: finished}
  <wrong> & so on:
    expect: {ends: held, steps: [{sms: hi, text: "Hello\\nme"}]}
"""
FILES = {
    "policies.yaml": POLICIES,
    "destinations.yaml": DESTINATIONS,
    "s.yaml": SCENARIO,
    "s.test.yaml": CASES,
    "people.csv": "contact.id;contact.emial\n1;a\n2;b\n1;c\n;d\n",
    "bad.yaml": "scenario: a\ntrigger: order\ntrigger: order\nsteps:\n  - wiat: 2d\n",
    "late.yaml": "scenario: a\ntrigger: segment\nsteps:\n  - exit: x\n  - wait: 2d\n",
}


class Reconciler:
    """Finds nothing since a time, at a low rate what is repaired, and otherwise all that may differ."""

    def __init__(self, _: object, *, repair: bool, since: datetime | None, rate: float, **given: Any) -> None:
        sums: dict[str, Any] = {"running_in_store": 1204, "running_in_temporal": 1200, "ended_in_temporal": 3}
        self._result = Reconciliation(namespace="default", repair=repair, since=START, **sums)
        lost = samples.LOST.model_copy(update={"repaired": repair})
        every = (lost, samples.LOST, samples.UNADMITTED, samples.UNREADABLE)
        self._found, self._tell = every[: 0 if since == START else 1 if rate == 5 else None], given["found"]

    async def run(self) -> Reconciliation:
        for one in self._found:
            self._tell(one)
            self._result.add(one)
        if self._found and not self._result.repair:
            self._result.missing_versions = [MissingVersion(version="wishes@4", journeys=12)]
        return self._result


async def hold_audience(store: Store) -> None:
    """Have an audience with a refused member, a change that waits, and trouble."""
    for contact in ("a", "b", "c"):
        await store.record_membership(membership(contact))
    await store.freeze_audience_batch(*VIP, "1", 2)
    await store.refuse_members("add-1", ["id-b"], "bad_hash")
    await store.settle_audience_batch("add-1")
    await store.record_audience_trouble(*VIP, "the terms are not accepted", START)


async def hold_everything(store: Store) -> None:
    """Have outgoing events, an audience and a batch call with what may be wrong with them."""
    await held(store, "7", "8")
    await hold_audience(store)
    await store.open_batch(BATCH)
    for number in (1, 2):
        await store.join_batch(item(number))
    await store.freeze_batch(BATCH.id, START)
    await store.record_item_outcomes(BATCH.id, "refused", START, positions=[2], reason="unknown", status=207)


async def fill(store: Store) -> None:
    await hold_everything(store)
    await store.record(samples.ATTEMPTS)
    await store.publish("sale", {}, {}, "d1", "ann", journeys="follow")
    await store.close_scenario(Closure("sale", START, "bob", "it is over"))
    await store.add_key(ApiKey("abcdefgh", "d", ["read"], None, None, "dashboards", START, "ann", expires_at=START))


@pytest.fixture
def everything(run: Run, client: Client, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands at a terminal of 80 columns, with one of everything to show."""

    async def results(*_: object, **given: Any) -> ResultsView:
        return {1: samples.WITHOUT_GOAL, 2: samples.RESULTS, None: samples.DOUBTFUL}[given["version"]]

    async def stats(_: object, version: int | None = None) -> StatsView:
        return samples.STATS if version is None else samples.UNSEARCHED

    stored(fill)
    request = RenderedRequest("POST", "https://hooks.example.com/7", {"authorization": "Bearer ~~TOKEN~~"}, b'{"a":1}')
    delivery = Delivery(id="msg_1", scenario="a@3", step="hook", contact="7", now="2026-03-31T10:00:00+02:00")
    made = [
        RenderedDelivery(delivery, START, one) for one in (request, NothingToSend("no number"), RenderProblem("no"))
    ]
    monkeypatch.setattr("service.journeys.service.rendered", AsyncMock(return_value=made))
    for name, text in FILES.items():
        Path(name).write_text(text)
    for name, secret in {"NEW": "whsec_p4ss", "OLD": SIGNING}.items():
        monkeypatch.setenv(f"SCENARIO_SECRET_{name}", secret)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("service.results.results", results)
    monkeypatch.setattr("service.reconcile.reconcile.Reconciler", Reconciler)
    vars(client)["stats"] = stats
    client.campaigns = Campaigns()
    client.views = {**samples.VIEWS, "a/7/K1": samples.FULL, samples.LONG: replace(samples.OVER, id=samples.LONG)}
    listed = [
        samples.LISTED,
        samples.LISTED.model_copy(update={"id": samples.LONG, "scenario": f"{samples.LONG[:29]}@12"}),
    ]
    client.erasures_seen = [samples.BEGUN, *[samples.ERASED] * 4]
    client.shown |= {"journeys": listed, "held": listed, "select": [samples.LISTED]}
    client.shown |= {"overview": samples.ILL, "trends": samples.TRENDS, "why": samples.WHY}
    client.shown |= {"destinations_now": [samples.STANDING], "erasures": [samples.STUCK, samples.ERASED]}
    client.shown |= {"forecast_migration": samples.FORECAST, "in_flight": [samples.FLIGHT, samples.QUEUED]}
    return run


def without_ids(line: str, out: str) -> str:
    return re.sub(r"\b[0-9a-f]{32}\b", "ID", out) if line.startswith("outgoing") else out


def text_of(line: str, ran: Ran) -> str:
    """Return a command with what it has printed. A version is published now, and the ids of events are random."""
    out = re.sub(r"(published \(local\)) \S+ \S+", r"\1 now", without_ids(line, ran.out))
    lines = [f"$ scenario {line}", *out.splitlines(), *(f"! {line}" for line in ran.err.splitlines())]
    return "\n".join(line.rstrip() for line in (*lines, f"= {ran.status}\n"))


@pytest.mark.usefixtures("paris")
def test_what_is_printed_is_that_of_the_snapshots(everything: Run):
    """Run with SCENARIO_WRITE_SHAPE=1 to accept a deliberate change."""
    printed, told = list[str](), dict[str, Any]()
    for line in COMMANDS:
        printed.append(text_of(line, everything(*shlex.split(line))))
        out = without_ids(line, everything(*shlex.split(line), "--format", "json").out)
        told[line] = [json.loads(each) for each in out.splitlines()] if line.startswith(LINES) else json.loads(out)
    told["versions"][0]["published_at"] = "now"
    printed += [text_of(f"show {name}", everything("show", name)) for name in samples.VIEWS]
    if os.environ.get("SCENARIO_WRITE_SHAPE"):
        TEXT.write_text("\n".join(printed), "utf-8")
        JSON.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert "\n".join(printed) == TEXT.read_text("utf-8")
    # A line is longer than 80 columns only if it is one id, or a command to be copied.
    whole = tuple(f"$ scenario {one}" for one in (*LINES, "campaign check", "check ", "destinations d"))
    shown = "".join(text for text in printed if not text.startswith(whole))
    long = [line for line in shown.splitlines() if len(line) > 80 and not line.startswith(TO_COPY)]
    assert [line for line in long if samples.LONG not in line] == []
    snapshot = json.loads(JSON.read_text("utf-8"))
    for line in COMMANDS:
        assert told[line] == snapshot[line], line


def test_a_table_becomes_blocks_where_it_does_not_fit(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    made = Table("", "step", "state", "why", prose=("why",))
    made.add("▶", "whatsapp", "held", "it was answered by nobody at all")
    made.add("·", "bye", "", "")
    monkeypatch.setenv("COLUMNS", "60")
    made.show()
    assert [line.split() for line in capsys.readouterr().out.splitlines()][2][:3] == ["▶", "whatsapp", "held"]
    monkeypatch.setenv("COLUMNS", "30")
    made.show()
    assert capsys.readouterr().out.splitlines() == [
        "▶ whatsapp",
        "  state held",
        "  why it was answered by",
        "    nobody at all",
        "· bye",
    ]


def test_a_bar_tells_what_else_there_is_to_tell_whenever_it_is_drawn(monkeypatch: pytest.MonkeyPatch):
    screen, told = Terminal(), ["started 0"]
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", screen)
    with progress("entering", 3, lambda: told[0]) as advance:
        told[0] = "started 2, entered 1"
        advance()
    drawn = screen.getvalue()
    assert "started 2, entered 1" in drawn
    assert "1/3" in drawn


def test_there_is_none_where_nobody_watches(capsys: pytest.CaptureFixture[str]):
    with progress("entering", 3, lambda: "started 0") as advance:
        advance()
    assert capsys.readouterr().err == ""
