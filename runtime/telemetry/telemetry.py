"""Traces and metrics over OTLP, where OpenTelemetry's variables name a collector; metrics for Prometheus on a port.

OTEL_EXPORTER_OTLP_ENDPOINT, or the same for one of the two (OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, …_METRICS_ENDPOINT),
turns them on; the other OTEL_* variables mean what OpenTelemetry says
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). Without them nothing is traced, and
nothing is added to histories or to what is sent.

Metrics are of two makers: ours are OpenTelemetry's instruments (`runtime.telemetry.metrics`), and Temporal's SDK has
its own, in native code. The SDK exports its own by one way: to Prometheus, by OTLP, or into a buffer. So where they are
wanted for Prometheus, it serves them on a port of the loopback interface, and `runtime.telemetry.exposition` puts them
behind ours, on one page; where they are wanted by OTLP alone, it sends them itself. Through the buffer, into
instruments of OpenTelemetry, they would go both ways, at the price of 72 updates a journey, which is 3 % of a worker's
processor time. Ours could be made by the SDK's meter instead: but its gauges stay when what they tell of has become
another worker's business.
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

from runtime.errors import LocalError, SettingsError
from runtime.process.ports import HOST, free_port
from runtime.telemetry.trace_ids import JourneyIds
from runtime.version import version

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import MetricReader

    from runtime.telemetry.exposition import Exposition

SERVICE: Final = "scenario-runner"
"""The service's name, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES give another."""

PATIENCE: Final = 5.0
"""Seconds that a collector may take for the last traces. One that is down must not keep a process from ending."""

Signal = Literal["traces", "metrics"]
Buckets = Mapping[str, Sequence[float]]
"""Upper bounds of buckets, by the histogram's name."""
NO_BUCKETS: Final[Buckets] = {}

_BUCKETS: Final = (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0)
"""Seconds that a task waits for a worker. The SDK's own bounds tell nothing between 0.1 and 0.5: 0.2 is where it is too
long. A webhook's wait for its destination's rate is in it, too."""
_OVERRIDES: Final = {f"{what}_schedule_to_start_latency": _BUCKETS for what in ("workflow_task", "activity")}
_TRIES: Final = 3
_PERIOD: Final = 60.0  # seconds between two exports of the SDK: as OpenTelemetry's

_logger = logging.getLogger(__name__)


class Telemetry:
    """The process's traces and metrics, from `start` to `shutdown`.

    Args:
        provider: What makes the spans; None where nothing is traced.
        meters: What makes the instruments; None where nothing is measured.
        exposition: The page of metrics, if there is to be one.
    """

    def __init__(
        self,
        provider: TracerProvider | None,
        meters: MeterProvider | None = None,
        exposition: Exposition | None = None,
    ) -> None:
        self.provider, self.meters, self.exposition = provider, meters, exposition

    @classmethod
    def start(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        exposition: Exposition | None = None,
        measures: bool = True,
    ) -> Telemetry:
        """Makes the global providers, if the environment asks for them. Once a process, before it works.

        Args:
            environ: Variables that decide what is exported; the process's own by default. The exporters themselves
                read the process's own.
            exposition: The page of metrics, if there is to be one.
            measures: Whether the process stays long enough for anything to add up.

        Raises:
            SettingsError: OTEL_EXPORTER_OTLP_PROTOCOL asks for a protocol other than http/protobuf, or another variable
                of OpenTelemetry's cannot be used.
        """
        given = os.environ if environ is None else environ
        try:
            return cls._started(given, exposition, measures)
        except ValueError as error:  # of OpenTelemetry's SDK, such as for an interval of 0
            said = " ".join(str(error).split())
            raise SettingsError(f"a variable OTEL_* cannot be used, OpenTelemetry's SDK says: {said}") from None

    @classmethod
    def _started(cls, given: Mapping[str, str], exposition: Exposition | None, measures: bool) -> Telemetry:
        readers: list[MetricReader] = [] if exposition is None else [exposition.reader]
        provider = meters = None
        # Here, so that a process that does not export does not load it.
        if wanted(given):
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            provider = provider_of(BatchSpanProcessor(OTLPSpanExporter()))
            trace.set_tracer_provider(provider)
        if measures and wanted(given, "metrics"):
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

            readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
        if readers:
            from opentelemetry.sdk.metrics import MeterProvider

            meters = MeterProvider(readers, resource(), shutdown_on_exit=False)
            metrics.set_meter_provider(meters)
        return cls(provider, meters, exposition)

    async def runtime(self, stack: AsyncExitStack, buckets: Buckets = NO_BUCKETS) -> Runtime:
        """Make the runtime for the process's client, and serve the page of metrics while the stack is open.

        Raises:
            LocalError: The page's port cannot be listened on.
            SettingsError: As for `temporal_runtime`.
        """
        made, native = temporal_runtime(exposed=self.exposition is not None, buckets=buckets)
        if self.exposition is not None:
            await stack.enter_async_context(self.exposition.served(native))
        return made

    def shutdown(self, patience: float = PATIENCE) -> bool:
        """Sends what is left.

        Args:
            patience: Seconds to wait for a collector.

        Returns:
            Whether everything was handed over or given up in that time.
        """

        def end() -> None:
            for provider in (self.provider, self.meters):
                if provider is not None:
                    provider.shutdown()

        if self.provider is None and self.meters is None:
            return True
        # In a thread of its own: the exporters' own time-outs are longer than a terminating process has.
        ending = threading.Thread(target=end, daemon=True)
        ending.start()
        ending.join(patience)
        if ending.is_alive():
            _logger.warning("traces and metrics of the last moments are lost: the collector did not take them in time")
        return not ending.is_alive()


def wanted(environ: Mapping[str, str], signal: Signal = "traces") -> bool:
    """Whether the environment asks for traces, or for metrics, by OTLP.

    Raises:
        SettingsError: It asks for them by another protocol than http/protobuf, or with a URL or headers that are none.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").strip() or "otlp"
    where, url = _otlp(environ, signal, "ENDPOINT")
    if "otlp" not in {name.strip() for name in exporters.split(",")} or not url:
        return False
    if not _is_url(url):
        raise SettingsError(f"{where} must be a URL such as http://collector:4318")
    name, headers = _otlp(environ, signal, "HEADERS")
    if not all(parse_env_headers(one, liberal=True) for one in headers.split(",") if one.strip()):
        raise SettingsError(f"{name} must be headers as key=value, separated by commas")
    name, protocol = _otlp(environ, signal, "PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        raise SettingsError(f"{name} must be http/protobuf, the one protocol that {signal} are sent by")
    return True


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def _otlp(environ: Mapping[str, str], signal: Signal, what: str) -> tuple[str, str]:
    for name in (f"OTEL_EXPORTER_OTLP_{signal.upper()}_{what}", f"OTEL_EXPORTER_OTLP_{what}"):
        if value := environ.get(name, "").strip():
            return name, value
    return "", ""


def resource() -> Resource:
    """What the process is called: what OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say, else `SERVICE`."""
    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: SERVICE}))
    if SERVICE_VERSION not in found.attributes:
        found = found.merge(Resource({SERVICE_VERSION: version()}))
    return found


def provider_of(processor: SpanProcessor, sampler: Sampler | None = None) -> TracerProvider:
    """A provider whose spans go to the processor, with the ids and the resource that journeys need.

    Args:
        sampler: Decides which; by default what OTEL_TRACES_SAMPLER says, and else all that their parent does not
            leave out.
    """
    provider = TracerProvider(sampler, resource(), id_generator=JourneyIds(), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def temporal_runtime(
    *, exposed: bool = False, environ: Mapping[str, str] | None = None, buckets: Buckets = NO_BUCKETS
) -> tuple[Runtime, int | None]:
    """A runtime whose native part logs through Python, so that its lines are like all others.

    Expensive: one a process. Its metrics are counts and durations (seconds) by task queue, by type of workflow and
    activity, and by call of the server's API. Nothing of them is about one journey or one contact.

    Args:
        exposed: Whether its metrics are to be had as Prometheus wants them; otherwise they go by OTLP, if the
            environment asks for that.
        environ: Variables that decide that; the process's own by default.

    Returns:
        The runtime, and the port of the loopback interface at which it serves its metrics at ``/metrics``, if it does.

    Raises:
        LocalError: There is no port that can be listened on.
        SettingsError: As for `wanted`; or what the SDK is to send its metrics with cannot be used.
    """
    if not exposed:
        try:
            return Runtime(telemetry=TelemetryConfig(logging=_logging(), metrics=_pushed(environ, buckets))), None
        except ValueError:  # its text may quote a URL or a header
            raise SettingsError(
                "metrics cannot be sent with these variables OTEL_EXPORTER_OTLP_*: look at "
                "OTEL_EXPORTER_OTLP_COMPRESSION, which is gzip or not set"
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
        except ValueError:  # somebody else was there first, after all
            continue
    raise LocalError("no port of this machine can be listened on: the metrics cannot be served")


def _pushed(environ: Mapping[str, str] | None, buckets: Buckets) -> OpenTelemetryConfig | None:
    """How the SDK sends its metrics by itself, as the exporters of OpenTelemetry's own SDK do."""
    given = os.environ if environ is None else environ
    if not wanted(given, "metrics"):
        return None
    name, url = _otlp(given, "metrics", "ENDPOINT")
    return OpenTelemetryConfig(
        url=url if "METRICS" in name else f"{url.rstrip('/')}/v1/metrics",
        headers=parse_env_headers(_otlp(given, "metrics", "HEADERS")[1], liberal=True),
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
