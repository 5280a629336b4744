"""Traces are sent where OpenTelemetry's variables say, and hold nobody up; metrics are there for who comes for them."""

import asyncio
import gzip
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from runtime import version
from runtime.errors import LocalError, SettingsError
from runtime.local.devserver import DevServer
from runtime.local.receiver import Received, Receiver
from runtime.process import HOST
from runtime.telemetry.exposition import Exposition
from runtime.telemetry.telemetry import Telemetry, provider_of, temporal_runtime, wanted

ROOT = Path(__file__).parents[3]
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environ", "traces", "metrics"),
    [
        ({}, False, False),
        (ENDPOINT, True, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4318/v1/metrics"}, False, True),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, False, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False, True),
        (ENDPOINT | {"OTEL_METRICS_EXPORTER": "prometheus"}, True, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "console, otlp"}, True, True),
    ],
)
def test_the_environment_says_what_is_sent(
    environ: dict[str, str], traces: bool, metrics: bool, monkeypatch: pytest.MonkeyPatch
):
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert (wanted(), wanted("metrics")) == (traces, metrics)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "must be http/protobuf, the one protocol that metrics are sent by"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "must be a URL such as http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://[", "must be a URL such as http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b, Bearer s3cr3t", "must be headers as key=value, separated by commas"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "interval value 0.0 is invalid and needs to be larger than zero."),
    ],
)
def test_what_cannot_be_used_is_one_sentence(name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch):
    for variable, given in (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none", name: value}).items():
        monkeypatch.setenv(variable, given)
    with pytest.raises(SettingsError) as caught:
        Telemetry.start()
    assert str(caught.value) in (
        f"{name} {sentence}",
        f"a variable OTEL_* cannot be used, OpenTelemetry's SDK reports: {sentence}",
    )


def test_what_the_sdk_cannot_send_with_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    for name, value in (ENDPOINT | {"OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match="check OTEL_EXPORTER_OTLP_COMPRESSION, which must be gzip or unset"):
        temporal_runtime()


def test_without_an_endpoint_there_is_no_provider():
    telemetry = Telemetry.start()
    assert telemetry.provider is None
    assert telemetry.shutdown()


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "scenario-runner"),
        ({"OTEL_SERVICE_NAME": "journeys"}, "journeys"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=named,team=crm"}, "named"),
    ],
)
def test_the_service_has_a_name(environ: dict[str, str], name: str, monkeypatch: pytest.MonkeyPatch):
    for variable in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    resource = provider_of(SimpleSpanProcessor(InMemorySpanExporter())).resource
    assert resource.attributes["service.name"] == name
    assert resource.attributes["service.version"] == version()


class Stuck(SpanExporter):
    def __init__(self) -> None:
        self.answers = threading.Event()

    def export(self, spans: object) -> SpanExportResult:
        self.answers.wait()
        return SpanExportResult.FAILURE


def test_a_collector_that_does_not_answer_keeps_nobody_from_ending(caplog: pytest.LogCaptureFixture):
    stuck = Stuck()
    provider = provider_of(BatchSpanProcessor(stuck))
    provider.get_tracer("test").start_span("lost").end()
    assert not Telemetry(provider).shutdown(patience=0.1)  # or it would wait forever
    stuck.answers.set()
    assert "the collector did not accept them in time" in caplog.text


async def test_a_process_sends_traces_and_metrics_by_otlp_those_of_the_sdk_among_them_and_leaves(server: DevServer):
    """By one endpoint, to the same address, with the same headers; those of the last moments too."""
    code = (
        "import asyncio, sys\n"
        "from opentelemetry import trace\n"
        "from runtime.connection import connect\n"
        "from runtime.process.shutdown import exit_process\n"
        "from runtime.telemetry import telemetry\n"
        "from runtime.telemetry.metrics import LOG_DROPPED\n"
        "telemetry._PERIOD = 0.1\n"
        "started = telemetry.Telemetry.start()\n"
        "LOG_DROPPED.add()\n"
        "async def run():\n"
        f"    await connect('{server.address}', interceptors=[], runtime=telemetry.temporal_runtime()[0])\n"
        "    await asyncio.to_thread(input)\n"
        "asyncio.run(run())\n"
        "trace.get_tracer('test').start_span('journey').end()\n"
        "for stream in (sys.stdout, sys.stderr):\n"
        "    stream.close()\n"  # nobody reads them
        "exit_process(3, started)\n"
    )
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%20b", "PATH": ""}
    seen: dict[str, dict[str, str]] = {}
    async with Receiver() as collector:
        environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code), cwd=ROOT, env=environ, stdin=subprocess.PIPE
        )
        async with asyncio.timeout(60):
            while "temporal_request" not in seen:
                await asyncio.sleep(0.05)
                seen = sent_to(collector)
            await process.communicate(b"\n")
        seen = sent_to(collector)
    assert process.returncode == 3
    assert {"scenario.log.dropped", "temporal_request", "temporal_request_latency"} <= seen.keys()
    assert all(headers["x-key"] == "a b" for headers in seen.values())
    [request] = collector.requests("/v1/traces")
    [resource] = ExportTraceServiceRequest.FromString(inflated(request)).resource_spans
    named = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
    assert named["service.name"] == "scenario-runner"
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["journey"]


def sent_to(collector: Receiver) -> dict[str, dict[str, str]]:
    return {
        metric.name: dict(request.headers)
        for request in collector.requests("/v1/metrics")
        for resource in ExportMetricsServiceRequest.FromString(inflated(request)).resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def inflated(request: Received) -> bytes:
    return gzip.decompress(request.body) if request.body[:2] == b"\x1f\x8b" else request.body


@pytest.mark.parametrize(
    ("port", "sentence"),
    [
        (0, "port {port} is in use by another program: stop that program, or choose another port for the metrics"),
        (70_000, "70000 is not a port: choose one from 1024 to 65535 for the metrics"),
    ],
)
async def test_a_port_for_metrics_that_cannot_be_had_is_one_sentence(port: int, sentence: str):
    with socket.create_server((HOST, 0)) as other:
        taken = port or other.getsockname()[1]
        with pytest.raises(LocalError) as caught:
            async with Exposition(taken).served(None):
                pass
    assert str(caught.value) == sentence.format(port=taken)
