"""One trace a journey: the whole tree, over replays, runs and workers, and nothing in it that is not an id."""

import hashlib
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NoOpTracerProvider, SpanContext, StatusCode
from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer, Worker

from runtime.connection import connect
from runtime.local.devserver import DevServer
from runtime.local.receiver import Receiver
from runtime.telemetry.telemetry import provider_of
from runtime.telemetry.tracing import HeaderConverter, JourneyTracing, extract, inject
from tests.runtime.journeys import Failing, Parcel, Small

EMAIL = "ann@example.com"


class Channels:
    def __init__(self, provider: trace.TracerProvider, teller: Client) -> None:
        self._tracer = trace.get_tracer("test", tracer_provider=provider)
        self._teller = teller
        self.baggage: list[dict[str, object]] = []

    @activity.defn
    async def admit(self) -> None:
        self.baggage.append(dict(baggage.get_all()))

    @activity.defn
    async def send_webhook(self, parcel: Parcel) -> None:
        self.baggage.append(dict(baggage.get_all()))
        with self._tracer.start_as_current_span("POST", kind=trace.SpanKind.CLIENT):
            headers = inject(context.get_current())
            async with aiohttp.ClientSession() as session, session.post(parcel.url, headers=headers) as response:
                status = response.status
        if status != 200:
            raise ApplicationError(f"the receiver answered {status}", type="DeliveryRetry")
        # Somebody tells the journey of an event, while its webhook is on its way.
        await self._teller.get_workflow_handle(str(activity.info().workflow_id)).signal("event")

    @activity.defn
    async def send_email(self, parcel: Parcel) -> None: ...

    @activity.defn
    async def send_sms(self, parcel: Parcel) -> None:
        raise ValueError(EMAIL)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans: InMemorySpanExporter) -> TracerProvider:
    return provider_of(SimpleSpanProcessor(spans))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """It fails the first request below ``/unwell``. The server lets a second pass before the next attempt."""
    async with Receiver(fail={"/unwell": [503]}) as running:
        yield running


@asynccontextmanager
async def a_worker(client: Client, provider: trace.TracerProvider, **options: Any) -> AsyncGenerator[str]:
    queue = str(uuid.uuid4())
    channels = Channels(provider, client)
    activities: Sequence[Callable[..., Any]] = [
        channels.admit,
        channels.send_webhook,
        channels.send_email,
        channels.send_sms,
    ]
    async with Worker(client, task_queue=queue, workflows=[Small, Failing], activities=activities, **options):
        yield queue
    assert not any(channels.baggage)


async def a_journey(client: Client, queue: str, url: str, again: int = 0) -> WorkflowHandle[Any, Any]:
    handle = await client.start_workflow("Journey", args=[url, again], id=f"journey/{queue}", task_queue=queue)
    await handle.result()
    return handle


def here(span: ReadableSpan) -> SpanContext:
    assert span.context is not None
    return span.context


def tree(finished: Sequence[ReadableSpan]) -> list[str]:
    """Every span's name, below its parent and in order of time."""
    spans = sorted(finished, key=lambda span: span.start_time or 0)
    known = {here(span).span_id for span in spans}

    def below(parent: int | None, depth: int) -> list[str]:
        return [
            line
            for span in spans
            if (span.parent.span_id if span.parent and span.parent.span_id in known else None) == parent
            for line in ("  " * depth + span.name, *below(here(span).span_id, depth + 1))
        ]

    return below(None, 0)


def traces(finished: Sequence[ReadableSpan]) -> set[int]:
    return {here(span).trace_id for span in finished}


RUN = [
    "StartActivity:admit",
    "  RunActivity:admit",
    "step whatsapp",
    "  RunActivity:send_webhook",
    "    POST",
    "    SignalWorkflow:event",
    "HandleSignal:event",
    "step thanks",
    "  RunActivity:send_email",
]
"""What a run without failures adds."""


def indented(lines: Sequence[str], depth: int) -> list[str]:
    return ["  " * depth + line for line in lines]


async def test_the_whole_tree_of_a_journey(
    server: DevServer, receiver: Receiver, provider: TracerProvider, spans: InMemorySpanExporter
):
    client = await connect(server.address, interceptors=[JourneyTracing(provider)])
    async with a_worker(client, provider) as queue:
        token = context.attach(baggage.set_baggage("email", EMAIL))
        try:
            handle = await a_journey(client, queue, f"{receiver.url}/unwell")
        finally:
            context.detach(token)
    finished = spans.get_finished_spans()
    assert tree(finished) == [
        "StartWorkflow:Journey",
        "  RunWorkflow:Journey",
        "    StartActivity:admit",
        "      RunActivity:admit",
        "    step whatsapp",
        "      RunActivity:send_webhook",
        "        POST",
        "      RunActivity:send_webhook",
        "        POST",
        "        SignalWorkflow:event",
        "    HandleSignal:event",
        "    step thanks",
        "      RunActivity:send_email",
        "    CompleteWorkflow:Journey",
    ]
    assert len(traces(finished)) == 1

    failed, delivered = [span for span in finished if span.name == "RunActivity:send_webhook"]
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, "the receiver answered 503")
    assert (failed.attributes or {})["error.type"] == "DeliveryRetry"
    assert delivered.status.status_code is StatusCode.UNSET

    # Spans carry ids, and an event is linked to its sender.
    named = {span.name: span for span in finished}
    run = {"temporalWorkflowID": handle.id, "temporalRunID": handle.first_execution_run_id}
    delivery = {"scenario.delivery": "msg_1", "scenario.version": "post-purchase@3", "scenario.contact": "3028687"}
    attempt = {**run, "temporalActivityID": "whatsapp", "scenario.attempt": 2, **delivery}
    assert dict(named["RunWorkflow:Journey"].attributes or {}) == run
    assert dict(named["step whatsapp"].attributes or {}) == {**run, "scenario.step": "whatsapp", **delivery}
    assert dict(delivered.attributes or {}) == attempt
    [link] = named["HandleSignal:event"].links
    assert link.context.span_id == here(named["SignalWorkflow:event"]).span_id

    # The receiver gets the trace, and nobody the baggage.
    posts = [here(span) for span in finished if span.name == "POST"]
    assert [request.header("traceparent") for request in receiver.requests()] == [
        f"00-{post.trace_id:032x}-{post.span_id:016x}-{post.trace_flags:02x}" for post in posts
    ]
    assert [request.header("baggage") for request in receiver.requests()] == [None] * 2
    history = await handle.fetch_history()
    assert EMAIL not in history.to_json()

    # Replaying it makes no span once more.
    await Replayer(workflows=[Small], interceptors=[JourneyTracing(provider)]).replay_workflow(history)
    assert len(spans.get_finished_spans()) == len(finished)


@pytest.mark.parametrize("traced", [True, False], ids=["its start is traced", "it is not"])
async def test_where_every_task_is_a_replay_the_tree_is_the_same_and_runs_have_one_trace(
    server: DevServer, receiver: Receiver, provider: TracerProvider, spans: InMemorySpanExporter, traced: bool
):
    starter = await connect(server.address, interceptors=[JourneyTracing(provider)] if traced else [])
    worker = await connect(server.address, interceptors=[JourneyTracing(provider)])
    async with a_worker(worker, provider, max_cached_workflows=0) as queue:
        handle = await a_journey(starter, queue, receiver.url, again=1)
    finished = spans.get_finished_spans()
    runs = ["RunWorkflow:Journey", *indented(RUN, 1)]
    last = ["RunWorkflow:Journey", *indented([*RUN, "CompleteWorkflow:Journey"], 1)]
    if traced:
        assert tree(finished) == ["StartWorkflow:Journey", *indented([*runs, *last], 1)]
        return
    assert tree(finished) == [*runs, *indented(last, 1)]
    derived = hashlib.sha256(f"scenario trace {handle.first_execution_run_id}".encode()).digest()[:16]
    assert traces(finished) == {int.from_bytes(derived)}


async def test_no_span_quotes_the_text_of_an_error(
    server: DevServer, provider: TracerProvider, spans: InMemorySpanExporter
):
    client = await connect(server.address, interceptors=[JourneyTracing(provider)])
    async with a_worker(client, provider) as queue:
        with pytest.raises(WorkflowFailureError):
            await client.execute_workflow("Failing", id=f"failing/{queue}", task_queue=queue)
    finished = spans.get_finished_spans()
    assert tree(finished) == [
        "StartWorkflow:Failing",
        "  RunWorkflow:Failing",
        "    step text",
        "      RunActivity:send_sms",
        "    CompleteWorkflow:Failing",
    ]
    failed = {span.name: (span.attributes or {}).get("error.type") for span in finished if not span.status.is_ok}
    assert failed == {"RunActivity:send_sms": "ValueError", "CompleteWorkflow:Failing": "ActivityError"}
    assert not any(EMAIL in span.to_json() for span in finished)


class Foreign(Interceptor):
    def __init__(self, header: Payload) -> None:
        self._header = header

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002 - the SDK's name
        header = self._header

        class Outbound(OutboundInterceptor):
            async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:  # noqa: A002
                input.headers = {**input.headers, "_tracer-data": header}
                return await super().start_workflow(input)

        return Outbound(next)


def test_a_header_that_cannot_be_read_is_no_trace():
    headers = [
        Payload(data=b"\xff"),
        Payload(metadata={"encoding": b"binary/encrypted"}, data=b"\xff"),
        Payload(metadata={"encoding": b"json/plain"}, data=b"{"),
        Payload(metadata={"encoding": b"json/plain"}, data=b'["traceparent"]'),
        Payload(metadata={"encoding": b"json/plain"}, data=b'{"traceparent": 7}'),
        Payload(metadata={"encoding": b"json/plain"}, data=b'{"traceparent": "00-0-0-01"}'),
        Payload(metadata={"encoding": b"binary/null"}),
    ]
    for carrier in HeaderConverter().from_payloads(headers):
        assert not trace.get_current_span(extract(carrier)).get_span_context().is_valid, carrier


async def test_a_trace_of_another_languages_client_is_continued(
    server: DevServer, provider: TracerProvider, spans: InMemorySpanExporter
):
    data = b'{"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "baggage": "a=b"}'
    client = await connect(
        server.address, interceptors=[Foreign(Payload(metadata={"encoding": b"json/plain"}, data=data))]
    )
    worker = await connect(server.address, interceptors=[JourneyTracing(provider)])
    async with a_worker(worker, provider) as queue:
        with pytest.raises(WorkflowFailureError):
            await client.execute_workflow("Failing", id=f"failing/{queue}", task_queue=queue)
    assert traces(spans.get_finished_spans()) == {0x4BF92F3577B34DA6A3CE929D0E0E4736}
    [run] = [span for span in spans.get_finished_spans() if span.name == "RunWorkflow:Failing"]
    assert run.parent is not None
    assert run.parent.span_id == 0x00F067AA0BA902B7


async def test_a_trace_that_is_not_sampled_leaves_no_span(
    server: DevServer, receiver: Receiver, spans: InMemorySpanExporter
):
    provider = provider_of(SimpleSpanProcessor(spans), ALWAYS_OFF)
    client = await connect(server.address, interceptors=[])
    worker = await connect(server.address, interceptors=[JourneyTracing(provider)])
    async with a_worker(worker, provider) as queue:
        await a_journey(client, queue, receiver.url)
    assert spans.get_finished_spans() == ()
    # The receiver is told that it was not.
    assert {str(request.header("traceparent"))[-2:] for request in receiver.requests()} == {"02"}


async def test_without_telemetry_nothing_is_added_to_histories(server: DevServer, receiver: Receiver):
    provider = NoOpTracerProvider()
    client = await connect(server.address, interceptors=[JourneyTracing(provider)])
    async with a_worker(client, provider) as queue:
        handle = await a_journey(client, queue, receiver.url)
    assert "_tracer-data" not in (await handle.fetch_history()).to_json()
    assert [request.header("traceparent") for request in receiver.requests()] == [None]
