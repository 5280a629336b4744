"""What the instruments have measured, for tests that run in this process."""

from __future__ import annotations

from typing import Final, cast

from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader, MetricReader, NumberDataPoint

from runtime.telemetry.metrics import Metric

_READER: Final = InMemoryMetricReader()


def provider_with(reader: MetricReader) -> MeterProvider:
    return MeterProvider([reader], shutdown_on_exit=False)


# Once a process: OpenTelemetry lets the global provider be set but once.
metrics.set_meter_provider(provider_with(_READER))

Labels = tuple[object, ...]
Numbers = dict[Labels, tuple[float, float]]


def now(metric: Metric) -> Numbers:
    """All series of a metric: values of its labels → how often and how much. What is only counted counts for both."""
    found: Numbers = {}
    data = _READER.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for one in scope.metrics:
                if one.name != metric.name:
                    continue
                for point in one.data.data_points:
                    attributes = dict(point.attributes or {})
                    assert attributes.keys() <= set(metric.labels), (scope.scope, attributes)
                    labels = tuple(attributes.get(label) for label in metric.labels)
                    if isinstance(point, HistogramDataPoint):
                        found[labels] = (point.count, point.sum)
                    else:
                        value = cast("NumberDataPoint", point).value
                        found[labels] = (value, value)
    return found


class Measured:
    def __init__(self, *of: Metric) -> None:
        self._before = {metric: now(metric) for metric in of}

    def of(self, metric: Metric) -> Numbers:
        before = self._before[metric]
        more = {
            labels: tuple(after - one for after, one in zip(pair, before.get(labels, (0, 0)), strict=True))
            for labels, pair in now(metric).items()
        }
        return cast("Numbers", {labels: pair for labels, pair in more.items() if pair[0]})
