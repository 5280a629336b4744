"""Trace and span ids of a journey, derived from its run ids, so that every process computes the same.

A span's id is random, and the process that made it may have ended when the next step starts. So ids of parent spans are
derived from ids that Temporal keeps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadConverter

Carrier = dict[str, str]
"""``traceparent``, and ``tracestate`` if there is one."""

PROPAGATOR: Final = TraceContextTextMapPropagator()
"""W3C Trace Context only. Baggage may contain private data, and is never passed on."""


class JourneyIds(IdGenerator):
    """Random ids, except within `fixed`. For the tracer provider of a process that runs journeys."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()
        self._fixed: ContextVar[tuple[int, int] | None] = ContextVar("fixed", default=None)

    @contextmanager
    def fixed(self, trace_id: int, span_id: int) -> Generator[None]:
        """Set the ids of the one span that is started within."""
        token = self._fixed.set((trace_id, span_id))
        try:
            yield
        finally:
            self._fixed.reset(token)

    def generate_trace_id(self) -> int:
        fixed = self._fixed.get()
        return fixed[0] if fixed else self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        fixed = self._fixed.get()
        return fixed[1] if fixed else self._random.generate_span_id()

    def is_trace_id_random(self) -> bool:
        """Bits of a hash are as good for sampling as random ones."""
        return True


@dataclass(frozen=True)
class TracedRun:
    """A run of a workflow, identified by what replays and resets keep."""

    workflow_type: str
    first: str
    original: str
    parent: Carrier

    @property
    def name(self) -> str:
        """Name of its span."""
        return f"RunWorkflow:{self.workflow_type}"

    def above(self, sampler: Sampler) -> Context:
        """Return the context of its span's parent; empty for the first span of a trace."""
        context = extract(self.parent)
        if self.first == self.original or _here(context).is_valid:
            return context
        # Continued as new without a trace: below the first run's span.
        first = TracedRun(self.workflow_type, self.first, self.first, {})
        return first.below(sampler)

    def below(self, sampler: Sampler) -> Context:
        """Return the context of its span, whether or not this process made it.

        Args:
            sampler: The provider's. One that decides by trace id and parent, as usual ones do, decides the same in
                every process.
        """
        above = self.above(sampler)
        trace_id, span_id = self.ids(above)
        parent = _here(above)
        decision = sampler.should_sample(above, trace_id, self.name, SpanKind.SERVER).decision
        flags = parent.trace_flags if parent.is_valid else TraceFlags.RANDOM_TRACE_ID
        flags = flags | TraceFlags.SAMPLED if decision.is_sampled() else flags & ~TraceFlags.SAMPLED
        span = SpanContext(trace_id, span_id, True, TraceFlags(flags), parent.trace_state)
        return trace.set_span_in_context(NonRecordingSpan(span), Context())

    def ids(self, above: Context) -> tuple[int, int]:
        """Return its span's trace id and span id, given the parent's context."""
        parent = _here(above)
        return parent.trace_id if parent.is_valid else _hash("trace", self.first, 16), _hash("run", self.original, 8)


class HeaderConverter(PayloadConverter):
    """Reads trace headers of any client. A malformed one is empty.

    An exception would fail a workflow task repeatedly, for a header that a client wrote.
    """

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        return PayloadConverter.default.to_payloads(values)

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Return a `Carrier` for each payload."""
        return [_carrier(payload) for payload in payloads]


def extract(carrier: Carrier) -> Context:
    return PROPAGATOR.extract(carrier, Context())


def inject(context: Context) -> Carrier:
    """Return the carrier of a context; empty if it has no span."""
    carrier: Carrier = {}
    PROPAGATOR.inject(carrier, context)
    return carrier


def _carrier(payload: Payload) -> Carrier:
    try:
        [value] = PayloadConverter.default.from_payloads([payload])
    except (KeyError, ValueError, RuntimeError):  # an unknown encoding, no JSON
        return {}
    if not isinstance(value, dict):
        return {}
    items = cast("dict[Any, Any]", value).items()
    return {key: text for key, text in items if isinstance(key, str) and isinstance(text, str)}


def _here(context: Context) -> SpanContext:
    return trace.get_current_span(context).get_span_context()


def _hash(purpose: str, run_id: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(f"scenario {purpose} {run_id}".encode()).digest()[:size])
