"""What a worker tells of itself: metrics of all kinds, and the whole trace of a journey."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import baggage, context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, StatusCode
from prometheus_client.parser import text_string_to_metric_families
from temporalio.client import HeaderCodecBehavior
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from activities.channel_registry import CHANNELS, QUEUES
from activities.interface import JOURNEYS
from runtime.encryption import keyring
from runtime.local.receiver import Inbox, Receiver
from runtime.process import HOST
from runtime.store import Store
from runtime.telemetry import metrics, polling
from runtime.telemetry.tracing import JourneyTracing
from service.client import ScenarioClient
from tests.e2e.conftest import SENDER, WORKER, Server, Stands, entry, outcomes, process, publish, sealing, store_in
from tests.servers import reserved_port
from workflows.journey import Enter, Journey, UnknownWorkflow

MARKS = ("zoe.measured@example.org", "Zo3-M34SUR3D", "3028687", "CGX0094", "hidden-in-a-path")
MEASURED = """
scenario: measured
trigger: order
entry: {key: "{{ order.external_id }}", if: order.total_price > 20}
steps:
  - webhook: whatsapp
    url: https://hooks.example.com/hidden-in-a-path/busy
    body: {order: "{{ order.external_id }}", name: "{{ contact.firstname }}"}
    retry: {initial_interval: 1s}
  - email: thanks
    subject: Thanks
    text: Hello {{ contact.firstname }}
  - email: nothing
    subject: Nothing
    text: "{% abort 'nothing to say' %}"
  - webhook: broken
    url: https://hooks.example.com/hidden-in-a-path/broken
    body: {order: "{{ order.external_id }}"}
"""
NOT_SEEN = {
    *("scenario.delivery.wait", "scenario.retention.deleted", "http.server.request.duration"),
    *("scenario.certificate.left", "scenario.refresh_token.replaced", "scenario.key", "scenario.campaign.lines"),
    *("scenario.provider_events", "scenario.outgoing.events", "scenario.outgoing.pending"),
    *("scenario.outgoing.oldest_age", "scenario.batch.items"),
}
"""What there is nothing to tell of: nobody waited, nothing was pruned, no campaign ran, no key, no certificate,
no access token, no provider reported, nobody subscribed."""
NOT_SURE = {"scenario.journeys", "scenario.held", "scenario.delivery.unsent", "scenario.clock.offset"}
"""What there may be something to tell of: by when the poller looked (see its own test), or on a slow machine."""
# What may be a label's value: words and names. No id of ours or of Temporal's looks like that.
WORDS = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*|[1-5]\d\d|\d+(\.\d+)?|\+Inf|")

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> Series:
    found: Series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, "a series that is there twice"
            found[key] = sample.value
    return found


def value(series: Series, name: str, **labels: str) -> float:
    return sum(
        one for (known, having), one in series.items() if known == name and labels.items() <= dict(having).items()
    )


def order(price: float) -> dict[str, Any]:
    contact = {"id": "3028687", "firstname": "Zo3-M34SUR3D", "email": "zoe.measured@example.org"}
    given = {"external_id": f"CGX0094-{price}", "total_price": price}
    return {"scenario": "measured", "contact": contact, "trigger": {"type": "order", "order": given}}


async def test_a_worker_tells_what_it_does_and_nothing_of_whom_it_is_about(
    server: Server, inbox: Inbox, tmp_path: Path
) -> None:
    url, port = store_in(tmp_path), str(reserved_port())
    temporal = await server.connect()
    fail = {"/hooks.example.com/hidden-in-a-path/busy": [503], "/hooks.example.com/hidden-in-a-path/broken": [422] * 9}
    async with (
        Store.open(url) as store,
        Receiver(fail=fail) as receiver,
        process(
            *(*WORKER, "--metrics-port", port),
            log=tmp_path / "log",
            environ={
                **server.environ,
                "TEST_RECEIVER": receiver.url,
                "SCENARIO_STORE": url,
                "SCENARIO_SMTP": inbox.url,
                "SCENARIO_MAIL_FROM": SENDER,
            },
        ) as worker,
        httpx.AsyncClient() as http,
    ):
        client = ScenarioClient(sealing(temporal, store), store)
        await publish(client, tmp_path, MEASURED)
        await client.enter(order(25.5), settle=60)
        refused = await client.enter(order(3.5), settle=0)
        assert (await refused.result())["outcome"] == "refused"
        queues = {*QUEUES, *(channel.campaigns for channel in CHANNELS.values() if channel.queue != JOURNEYS)}
        async with asyncio.timeout(200):
            while True:
                page = await http.get(f"http://127.0.0.1:{port}/metrics")
                series = read(page.text)
                backlog = {dict(labels)["queue"] for name, labels in series if name == "scenario_backlog"}
                if value(series, "scenario_delivery_attempts_total", outcome="failed") and backlog == queues:
                    break
                await asyncio.sleep(0.1)
        worker.terminate()
        assert await worker.wait() == 0
    assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"

    ours = {name for name, _ in series if not name.startswith(("temporal_", "process_"))}
    for metric in (*metrics.OF_EACH, *metrics.OF_ALL):
        seen = any(re.match(f"{metric.name.replace('.', '_')}(_|$)", name) for name in ours)
        assert seen is (metric.name not in NOT_SEEN) or metric.name in NOT_SURE, metric.name
    webhook = {"channel": "webhook", "destination": "hooks.example.com"}
    attempts = "scenario_delivery_attempts_total"
    for outcome, attempt, number in (("retry", "first", 1), ("delivered", "retry", 1), ("failed", "first", 1)):
        assert value(series, attempts, outcome=outcome, attempt=attempt, **webhook) == number
    assert value(series, "http_client_request_duration_seconds_count", error_type="503") == 1
    assert value(series, "http_client_request_duration_seconds_count", http_response_status_code="200") == 1
    assert {dict(labels)["check"] for name, labels in series if name == "scenario_ready"} == {
        *("worker", "store", "temporal", "clock")
    }
    used = {dict(labels)["le"]: one for (name, labels), one in series.items() if name == "scenario_history_used_bucket"}
    assert 0 < used["0.01"] == used["+Inf"]
    assert value(series, "temporal_activity_task_received_total", task_queue="webhooks") >= 3
    waited = "temporal_workflow_task_schedule_to_start_latency_seconds_bucket"
    assert any(name == waited and dict(labels)["le"] == "0.2" for name, labels in series)
    assert value(series, "process_resident_memory_bytes") > 0

    assert not [mark for mark in MARKS if mark in page.text]
    assert [said for _, labels in series for _, said in labels if not WORDS.fullmatch(said) and said != HOST] == []


HELD = """
scenario: NAME
trigger: segment
steps:
  - webhook: broken
    url: https://hooks.example.com/broken
    body: {contact: "{{ contact.id }}"}
"""


@pytest.mark.parametrize("looked_at", [1000, 1])
async def test_what_is_held_is_found_by_search(
    stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    """All of them, or where there are many, by the groups that some are in."""
    monkeypatch.setattr(polling, "LOOKED_AT", looked_at)
    name = f"stuck-{looked_at}"
    async with stand(fail={"/hooks.example.com/broken": [422] * 9}) as place:
        await publish(place.client, tmp_path, HELD.replace("NAME", name))
        for contact in range(2):
            await place.client.enter(entry(name, contact))
        poller = polling.ClusterMetrics(place.client.temporal, place.client.store, {"journeys": True})
        mine = {(name, "held"): 2.0, (name, "running"): 0.0}
        async with asyncio.timeout(60):
            while mine.items() - dict(poller.figures.get(metrics.JOURNEYS, ())).items():
                await poller.round(30)
                await asyncio.sleep(0.1)
        held = dict(poller.figures[metrics.HELD])
        assert held["hooks.example.com", "permanent"] >= 2
        [(_, oldest)] = poller.figures[metrics.HELD_OLDEST_AGE]
        assert oldest > 0
        for contact in range(2):
            await place.client.temporal.get_workflow_handle(f"{name}/{contact}").terminate()


EMAIL = "zoe@example.com"
TRACED = """
scenario: traced
trigger: order
steps:
  - email: thanks
    subject: Thanks
    text: Thanks
  - webhook: whatsapp
    url: https://hooks.example.com/busy
    body: {order: "{{ order.external_id }}"}
    retry: {initial_interval: 1s}
  - if: contact.cellphone != blank
    then:
      - sms: text
        text: hi
  - wait: 1s
  - exit: done
"""


def here(span: ReadableSpan) -> SpanContext:
    assert span.context is not None
    return span.context


def tree(finished: Sequence[ReadableSpan]) -> list[tuple[int, str]]:
    spans = sorted(finished, key=lambda span: span.start_time or 0)
    known = {here(span).span_id for span in spans}

    def below(parent: int | None, depth: int) -> list[tuple[int, str]]:
        return [
            line
            for span in spans
            if (span.parent.span_id if span.parent and span.parent.span_id in known else None) == parent
            for line in ((depth, span.name), *below(here(span).span_id, depth + 1))
        ]

    return below(None, 0)


@pytest.mark.encrypted
async def test_the_whole_trace_of_a_journey(stand: Stands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring, "REMEMBERED", 3600.0)  # the replay decrypts after the store is closed
    async with stand(fail={"/hooks.example.com/busy": [503]}) as place:
        await publish(place.client, tmp_path, TRACED)
        token = context.attach(baggage.set_baggage("email", EMAIL))
        try:
            journey = await place.client.enter(
                {
                    "scenario": "traced",
                    "contact": {"id": 42, "email": EMAIL, "cellphone": "+33612345678"},
                    "trigger": {"type": "order", "order": {"external_id": "CGX0094"}},
                }
            )
        finally:
            context.detach(token)
        result = await journey.result()
        history = await journey.handle.fetch_history()
        requests = place.receiver.requests()

    assert outcomes(result)[-1] == ("exit-5", "exited")
    finished = place.spans.get_finished_spans()
    assert tree(finished) == [
        (0, "StartWorkflow:Journey"),
        (1, "RunWorkflow:Journey"),
        (2, "StartActivity:admit"),
        (3, "RunActivity:admit"),
        (2, "step thanks"),
        (3, "RunActivity:send_email"),
        (2, "step whatsapp"),
        (3, "RunActivity:send_webhook"),
        (4, "POST"),
        (3, "RunActivity:send_webhook"),
        (4, "POST"),
        (2, "HandleSignal:delivery_delayed"),
        (2, "StartActivity:decide"),
        (3, "RunActivity:decide"),
        (2, "step text"),
        (3, "RunActivity:send_sms"),
        (2, "StartActivity:depart"),
        (3, "RunActivity:depart"),
        (2, "CompleteWorkflow:Journey"),
    ]
    [trace_id] = {here(span).trace_id for span in finished}

    posts = [span for span in finished if span.name == "POST"]
    assert [post.status.status_code for post in posts] == [StatusCode.ERROR, StatusCode.UNSET]
    assert [(post.attributes or {}).get("http.request.resend_count") for post in posts] == [None, 1]
    assert [request.header("traceparent") for request in requests] == [
        f"00-{trace_id:032x}-{here(post).span_id:016x}-{here(post).trace_flags:02x}" for post in posts
    ]
    assert [(request.header("baggage"), request.status) for request in requests] == [(None, 503), (None, 200)]
    assert len({request.header("webhook-id") for request in requests}) == 1

    replayer = Replayer(
        workflows=[Journey, Enter, UnknownWorkflow],
        workflow_runner=UnsandboxedWorkflowRunner(),
        data_converter=place.client.temporal.data_converter,
        header_codec_behavior=HeaderCodecBehavior.CODEC,
        interceptors=[JourneyTracing(place.provider)],
    )
    await replayer.replay_workflow(history)
    assert len(place.spans.get_finished_spans()) == len(finished), "a replay adds no span"
