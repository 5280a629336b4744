"""Traces and metrics by OTLP, configured by OpenTelemetry's variables, and metrics for Prometheus on a port.

OTEL_EXPORTER_OTLP_ENDPOINT, or the variable of one signal, enables OTLP; the other OTEL_* variables have
OpenTelemetry's meaning (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). Otherwise
nothing is traced.

Temporal's SDK exports its own metrics in one way: to Prometheus, by OTLP, or into a buffer. With Prometheus, it serves
them on a loopback port, and `runtime.telemetry.exposition` appends them to ours. Otherwise it sends them by OTLP. The
buffer would allow both, but costs 72 updates a journey, 3 % of a worker's CPU time. The SDK's meter does not suit our
metrics, since its gauges stay when another worker takes over.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from opentelemetry import metrics, trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.util.re import parse_env_headers
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    OpenTelemetryConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from runtime import version
from runtime.errors import LocalError, SettingsError
from runtime.process import HOST, free_port
from runtime.telemetry.tracing import JourneyIds

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader

    from runtime.telemetry.exposition import Exposition

SERVICE: Final = "scenario-runner"  # default name of the service

PATIENCE: Final = 5.0
"""Timeout of the last export, in seconds. An unreachable collector must not delay the end of a process."""

Signal = Literal["traces", "metrics"]
Buckets = Mapping[str, Sequence[float]]  # upper bounds of buckets, by the histogram's name
NO_BUCKETS: Final[Buckets] = {}

_BUCKETS: Final = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0)
"""Seconds that a task waits for a worker. The SDK's defaults have no bound between 0.1 and 0.5; 0.2 is too long. A
webhook's wait for its destination's rate is included.
"""
_OVERRIDES: Final = {f"{what}_schedule_to_start_latency": _BUCKETS for what in ("workflow_task", "activity")}
_TRIES: Final = 3
_PERIOD: Final = 60.0  # seconds between two exports of the SDK: as OpenTelemetry's

_logger = logging.getLogger(__name__)


class Telemetry:
    """The process's traces and metrics, from `start` to `shutdown`."""

    def __init__(
        self, provider: TracerProvider | None, meters: MeterProvider | None = None, exposition: Exposition | None = None
    ) -> None:
        self.provider, self.meters, self.exposition = provider, meters, exposition

    @classmethod
    def start(cls, *, exposition: Exposition | None = None, measures: bool = True) -> Telemetry:
        """Set the global providers, if configured. Call it once, before any work.

        Raise SettingsError if a variable of OpenTelemetry cannot be used, or the protocol is not http/protobuf.
        """
        try:
            return cls._started(exposition, measures)
        except ValueError as error:  # from OpenTelemetry's SDK, for example for an interval of 0
            said = " ".join(str(error).split())
            raise SettingsError(f"a variable OTEL_* cannot be used, OpenTelemetry's SDK reports: {said}") from None

    @classmethod
    def _started(cls, exposition: Exposition | None, measures: bool) -> Telemetry:
        readers: list[MetricReader] = [] if exposition is None else [exposition.reader]
        provider = meters = None
        # Imported on demand, since most processes do not export.
        if wanted():
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            provider = provider_of(BatchSpanProcessor(OTLPSpanExporter()))
            trace.set_tracer_provider(provider)
        if measures and wanted("metrics"):
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

            readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
        if readers:
            from opentelemetry.sdk.metrics import MeterProvider

            meters = MeterProvider(readers, resource(), shutdown_on_exit=False)
            metrics.set_meter_provider(meters)
        return cls(provider, meters, exposition)

    async def runtime(self, stack: AsyncExitStack, buckets: Buckets = NO_BUCKETS) -> Runtime:
        """Return the runtime for the process's client. The metrics page is served while the stack is open."""
        made, native = temporal_runtime(exposed=self.exposition is not None, buckets=buckets)
        if self.exposition is not None:
            await stack.enter_async_context(self.exposition.served(native))
        return made

    def shutdown(self, patience: float = PATIENCE) -> bool:
        """Export the rest. Return False if that took longer than `patience` seconds."""

        def end() -> None:
            for provider in (self.provider, self.meters):
                if provider is not None:
                    provider.shutdown()

        if self.provider is None and self.meters is None:
            return True
        # In a thread: the exporters' timeouts are longer than the grace period of a process.
        ending = threading.Thread(target=end, daemon=True)
        ending.start()
        ending.join(patience)
        if ending.is_alive():
            _logger.warning("the last traces and metrics are lost: the collector did not accept them in time")
        return not ending.is_alive()


def wanted(signal: Signal = "traces") -> bool:
    """Return True if traces, or metrics, are to be exported by OTLP. Raise SettingsError for malformed variables."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip() or "otlp"
    where, url = _otlp(signal, "ENDPOINT")
    if "otlp" not in {name.strip() for name in exporters.split(",")} or not url:
        return False
    if not _is_url(url):
        raise SettingsError(f"{where} must be a URL such as http://collector:4318")
    name, headers = _otlp(signal, "HEADERS")
    if not all(parse_env_headers(one, liberal=True) for one in headers.split(",") if one.strip()):
        raise SettingsError(f"{name} must be headers as key=value, separated by commas")
    name, protocol = _otlp(signal, "PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        raise SettingsError(f"{name} must be http/protobuf, the one protocol that {signal} are sent by")
    return True


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def _otlp(signal: Signal, what: str) -> tuple[str, str]:
    for name in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_{what}", f"OTEL_EXPORTER_OTLP_{what}"):
        if value := os.environ.get(name, "").strip():
            return name, value
    return "", ""


def resource() -> Resource:
    """Return the resource of OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, by default with `SERVICE`."""
    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: SERVICE}))
    if SERVICE_VERSION not in found.attributes:
        found = found.merge(Resource({SERVICE_VERSION: version()}))
    return found


def provider_of(processor: SpanProcessor, sampler: Sampler | None = None) -> TracerProvider:
    """Return a provider that passes spans to the processor, with the ids and the resource of journeys.

    The default sampler is that of OTEL_TRACES_SAMPLER, and else one that follows the parent.
    """
    provider = TracerProvider(sampler, resource(), id_generator=JourneyIds(), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def temporal_runtime(*, exposed: bool = False, buckets: Buckets = NO_BUCKETS) -> tuple[Runtime, int | None]:
    """Return a runtime whose native part logs through Python, and the local port of its metrics, if any.

    Expensive: once a process. Its metrics are counts and durations (seconds) by task queue, by type of workflow and
    activity, and by API call, never by journey or contact.

    Its metrics are served for Prometheus if they are `exposed`, and otherwise sent by OTLP, if configured. Raise
    SettingsError as `wanted`, or if the SDK cannot use the variables.
    """
    if not exposed:
        try:
            return Runtime(telemetry=TelemetryConfig(logging=_logging(), metrics=_pushed(buckets))), None
        except ValueError:  # its text may quote a URL or a header
            raise SettingsError(
                "metrics cannot be sent with these variables OTEL_EXPORTER_OTLP_*: check "
                "OTEL_EXPORTER_OTLP_COMPRESSION, which must be gzip or unset"
            ) from None
    for _ in range(_TRIES):
        port = free_port()
        serving = PrometheusConfig(
            bind_address=f"{HOST}:{port}",
            # As Prometheus names things (https://prometheus.io/docs/practices/naming/): `…_seconds`, `…_total`.
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
            histogram_bucket_overrides={**_OVERRIDES, **buckets},
        )
        try:
            return Runtime(telemetry=TelemetryConfig(logging=_logging(), metrics=serving)), port
        except ValueError:  # another program was faster
            continue
    raise LocalError("no port of this machine can be listened on: the metrics cannot be served")


def _pushed(buckets: Buckets) -> OpenTelemetryConfig | None:
    """Return the SDK's own OTLP export."""
    if not wanted("metrics"):
        return None
    name, url = _otlp("metrics", "ENDPOINT")
    return OpenTelemetryConfig(
        url=url if "METRICS" in name else f"{url.rstrip('/')}/v1/metrics",
        headers=parse_env_headers(_otlp("metrics", "HEADERS")[1], liberal=True),
        metric_periodicity=timedelta(seconds=_PERIOD),
        durations_as_seconds=True,
        http=True,
        histogram_bucket_overrides={**_OVERRIDES, **buckets},
    )


def _logging() -> LoggingConfig:
    return LoggingConfig(
        filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
        forwarding=LogForwardingConfig(
            logger=logging.getLogger("temporalio.core"),
            append_target_to_name=False,
            prepend_target_on_message=False,
            overwrite_log_record_time=True,
            append_log_fields_to_message=False,
        ),
    )
