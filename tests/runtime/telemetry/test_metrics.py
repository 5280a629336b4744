"""The instruments: what they are called, and what their labels may say."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from docs import reference
from runtime.telemetry import metrics
from runtime.telemetry.exposition import Exposition
from runtime.telemetry.metrics import Counter, Histogram
from scenario.words import AttemptOutcome
from tests.measured import Measured, now, provider_with

SERIES = """
http.client.request.duration server.address http.request.method http.response.status_code error.type
http.server.request.duration http.route http.request.method http.response.status_code error.type
scenario.admission scenario outcome reason
scenario.audiences.held
scenario.backlog queue
scenario.backlog.age queue
scenario.batch.items destination outcome
scenario.breaker.state destination
scenario.campaign.lines outcome
scenario.campaigns state
scenario.campaigns.stalled_age
scenario.certificate.left use destination
scenario.clock.offset of
scenario.delivery.attempts channel destination outcome attempt
scenario.delivery.duration channel destination kept_back
scenario.delivery.skipped channel reason
scenario.delivery.unsent channel reason
scenario.delivery.wait channel why
scenario.erasures
scenario.erasures.oldest_age
scenario.held destination reason
scenario.held.oldest_age
scenario.journal.oldest_age
scenario.journeys scenario state
scenario.key setting key
scenario.log.dropped
scenario.namespace.retention
scenario.outgoing.events subscription outcome
scenario.outgoing.oldest_age subscription
scenario.outgoing.pending subscription state
scenario.poll.age
scenario.pollers queue
scenario.problems
scenario.provider_events provider event result
scenario.ready check
scenario.refresh_token.replaced destination
scenario.retention.deleted table
scenario.start_to_first_send channel
"""


def test_names_and_labels_stay_as_dashboards_and_alerts_use_them():
    found = [" ".join((one.name, *one.labels)) for one in (*metrics.OF_EACH, *metrics.OF_ALL)]
    assert sorted(found) == SERIES.strip().splitlines()


def test_prometheus_names_them_as_documented():
    """As its exporter names them, which takes the unit into the name."""
    exposition, documented = Exposition(0), "\n".join(reference.metrics())
    meter = provider_with(exposition.reader).get_meter("test")
    for one in (*metrics.OF_EACH, *metrics.OF_ALL):
        match one:
            case Counter():
                meter.create_counter(one.name, one.unit).add(1)
            case Histogram():
                meter.create_histogram(one.name, one.unit).record(1)
            case _:
                meter.create_gauge(one.name, one.unit).set(1)
    lines = exposition.text(None).decode().splitlines()
    named = {line.split()[2] for line in lines if line.startswith("# TYPE") and "process_" not in line}
    assert len(named) == len(metrics.OF_EACH) + len(metrics.OF_ALL)
    assert [name for name in named if f"`{name}`" not in documented] == []


def test_a_value_for_a_label_that_there_is_not_is_a_mistake():
    with pytest.raises(ValueError, match="longer"):
        metrics.ATTEMPTS.add("webhook", "wax", "delivered", "first", "msg_1")


def test_only_so_many_names_are_told_apart(monkeypatch: pytest.MonkeyPatch):
    measured = Measured(metrics.DURATION)
    monkeypatch.setattr(metrics, "MOST_NAMES", 2)
    monkeypatch.setattr(metrics, "_known", {"destination": set[str](), "scenario": set[str]()})
    for destination in ("wax", "shop", "push", "wax", "mail"):
        metrics.DURATION.record(1.0, "webhook", destination, "no")
    assert {name: count for (_, name, _), (count, _) in measured.of(metrics.DURATION).items()} == {
        "wax": 2, "shop": 1, "other": 2,
    }  # fmt: skip
    metrics.ADMISSION.add("wax", "admitted", None)  # scenarios have their own
    measured = Measured(metrics.DURATION)
    metrics.DURATION.record(-3.0, "sms", "wax", "no")
    assert measured.of(metrics.DURATION) == {("sms", "wax", "no"): (1, 0.0)}, "clocks may differ"


@pytest.mark.parametrize(
    ("label", "values", "counts"),
    [
        ("destination", ['wax"} 1\n', "back\\slash\n# EOF", "{{ é }}"], [1, 1, 1]),  # they would break the page
        ("outcome", [AttemptOutcome.DELIVERED, "delivered"], [2]),  # a word of an enum is the same text
    ],
)
def test_values_of_labels_stay_as_they_are(label: str, values: list[str], counts: list[int]):
    exposition = Exposition(0)
    counted = provider_with(exposition.reader).get_meter("test").create_counter("tried")
    for value in values:
        given = {"channel": "webhook", "destination": "wax", "outcome": "delivered", "attempt": "first", label: value}
        counted.add(1, metrics.ATTEMPTS.attributes(tuple(given.values())))
    [family] = [one for one in text_string_to_metric_families(exposition.text(None).decode()) if one.name == "tried"]
    assert [sample.labels[label] for sample in family.samples] == list(dict.fromkeys(map(str, values)))
    assert [sample.value for sample in family.samples] == counts


def test_a_gauge_that_reads_nothing_any_more_is_gone():
    metrics.POLLERS.reads(lambda: [(("sms",), 2.0)])
    assert now(metrics.POLLERS) == {("sms",): (2.0, 2.0)}
    metrics.POLLERS.reads(None)
    assert now(metrics.POLLERS) == {}


async def test_the_page_is_ours_alone_where_the_sdk_s_cannot_be_had(caplog: pytest.LogCaptureFixture):
    exposition = Exposition(0)
    provider_with(exposition.reader)
    for _ in range(2):
        assert b"process_cpu_seconds_total" in exposition.text(1)
    assert [record.message for record in caplog.records] == [
        "the metrics of Temporal's SDK cannot be read (ConnectionRefusedError)"
    ]


async def test_however_many_ask_the_page_is_made_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("runtime.telemetry.exposition._FRESH", 60.0)
    exposition, made = Exposition(0), list[int | None]()

    def text(native: int | None) -> bytes:
        made.append(native)
        return b"the page"

    monkeypatch.setattr(exposition, "text", text)
    async with exposition.served(None) as server, httpx.AsyncClient(base_url=server.url) as client:
        pages = await asyncio.gather(*(client.get("/metrics") for _ in range(8)))
    assert [page.text for page in pages] == ["the page"] * 8
    assert made == [None]
