"""Traces over OTLP, where OpenTelemetry's variables name a collector; metrics for Prometheus, where a port is given.

OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT turn traces on; the other OTEL_* variables mean what
OpenTelemetry says (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). Without them
nothing is traced, and nothing is added to histories or to what is sent.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Sampler
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from runtime.errors import LocalError, SettingsError
from runtime.process.ports import HOST, check_port
from runtime.telemetry.trace_ids import JourneyIds
from runtime.version import version

SERVICE: Final = "scenario-runner"
"""The service's name, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES give another."""

PATIENCE: Final = 5.0
"""Seconds that a collector may take for the last traces. One that is down must not keep a process from ending."""

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTERS = "OTEL_TRACES_EXPORTER"

_logger = logging.getLogger(__name__)


class Telemetry:
    """The process's tracing, from `start` to `shutdown`.

    Args:
        provider: What makes the spans; None where nothing is traced.
    """

    def __init__(self, provider: TracerProvider | None) -> None:
        self.provider = provider

    @classmethod
    def start(cls, environ: Mapping[str, str] | None = None) -> Telemetry:
        """Makes the global tracer provider, if the environment asks for traces. Once a process, before it works.

        Args:
            environ: Variables that decide whether to trace; the process's own by default. The exporter itself reads
                the process's own.

        Raises:
            SettingsError: OTEL_EXPORTER_OTLP_PROTOCOL asks for a protocol other than http/protobuf.
        """
        if not wanted(os.environ if environ is None else environ):
            return cls(None)
        # Here, so that a process that does not trace does not load it.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider = provider_of(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
        return cls(provider)

    def shutdown(self, patience: float = PATIENCE) -> bool:
        """Sends what is left.

        Args:
            patience: Seconds to wait for a collector.

        Returns:
            Whether everything was handed over or given up in that time.
        """
        if self.provider is None:
            return True
        # In a thread of its own: the exporter's own time-outs are longer than a terminating process has.
        ending = threading.Thread(target=self.provider.shutdown, daemon=True)
        ending.start()
        ending.join(patience)
        if ending.is_alive():
            _logger.warning("the traces of the last moments are lost: the collector did not take them in time")
        return not ending.is_alive()


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces.

    Raises:
        SettingsError: It asks for them by another protocol than http/protobuf.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporters = environ.get(_EXPORTERS, "").strip() or "otlp"
    if "otlp" not in {name.strip() for name in exporters.split(",")}:
        return False
    if not any(environ.get(name, "").strip() for name in _ENDPOINTS):
        return False
    name = next((name for name in _PROTOCOLS if environ.get(name, "").strip()), None)
    if name and environ[name].strip() != "http/protobuf":
        raise SettingsError(f"{name} must be http/protobuf, the one protocol that traces are sent by")
    return True


def provider_of(processor: SpanProcessor, sampler: Sampler | None = None) -> TracerProvider:
    """A provider whose spans go to the processor, with the ids and the resource that journeys need.

    Args:
        processor: Takes the spans.
        sampler: Decides which; by default what OTEL_TRACES_SAMPLER says, and else all that their parent does not
            leave out.
    """
    resource = Resource.create()
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: SERVICE}))
    if SERVICE_VERSION not in resource.attributes:
        resource = resource.merge(Resource({SERVICE_VERSION: version()}))
    provider = TracerProvider(sampler, resource, id_generator=JourneyIds(), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


def temporal_runtime(metrics_port: int | None = None, *, host: str = HOST) -> Runtime:
    """A runtime whose native part logs through Python, so that its lines are like all others.

    Expensive: one a process.

    Args:
        metrics_port: Where the SDK's metrics are served as Prometheus wants them, at ``/metrics``. They are counts and
            durations (seconds) by task queue, by type of workflow and activity, and by call of the server's API.
            Nothing of them is about one journey or one contact.
        host: The address to listen on.

    Raises:
        LocalError: The port cannot be listened on.
    """
    metrics = None
    if metrics_port is not None:
        check_port(metrics_port, "the metrics", host=host)
        metrics = PrometheusConfig(
            bind_address=f"[{host}]:{metrics_port}" if ":" in host else f"{host}:{metrics_port}",
            # As Prometheus names things (https://prometheus.io/docs/practices/naming/): `…_seconds`, `…_total`.
            counters_total_suffix=True,
            unit_suffix=True,
            durations_as_seconds=True,
        )
    try:
        return Runtime(telemetry=TelemetryConfig(logging=_logging(), metrics=metrics))
    except ValueError:
        # Somebody else was there first, after all.
        raise LocalError(f"port {metrics_port} cannot be listened on: choose another one for the metrics") from None


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
