# ruff: noqa: A002 - the SDK names its parameters so
"""The spans of journeys: one trace a journey, from the entry to every receiver.

    StartWorkflow:Journey                  the entry
    └── RunWorkflow:Journey                the journey; a later run (continue-as-new) is its sibling
        ├── StartActivity:admit            a local activity is scheduled
        │   └── RunActivity:admit
        ├── step whatsapp                  a delivery is scheduled
        │   ├── RunActivity:send_webhook   its first attempt
        │   │   └── POST                   made by the activity
        │   └── RunActivity:send_webhook   its second
        └── CompleteWorkflow:Journey

Workflow spans have no length: a journey lasts weeks, and a span cannot be closed by another process. A span's id is
random, and the process that made it may have ended when the next step starts. So the ids of parent spans are derived
from run ids, which Temporal keeps: every process computes the same. Unlike the SDK's interceptor, this one

- makes steps children of ``RunWorkflow``, whichever process schedules them: a worker that replays the journey knows its
  span id without making the span again;
- starts a trace for a journey without one (started by the `temporal` command, or a client without tracing);
- passes on only ``traceparent`` and ``tracestate``, never baggage, and ignores a malformed header;
- records errors by their type, never by a text that could quote a contact's data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, cast

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Sampler
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes, AttributeValue
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.contrib.opentelemetry import TracingInterceptor, TracingWorkflowInboundInterceptor
from temporalio.converter import PayloadConverter
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    StartActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

Carrier = dict[str, str]  # ``traceparent``, and ``tracestate`` if there is one

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

        A sampler that decides by trace id and parent, as usual ones do, decides the same in every process.
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


_HEADERS: Final = HeaderConverter()
_RUN_CONTEXT: Final = "__scenario_run_context"
_RUN_SPAN: Final = "__scenario_run_span"


class JourneyTracing(TracingInterceptor):
    """Traces journeys, on the client, workflow and activity side. Pass it to the client, whose workers use it too.

    Without a provider with `JourneyIds`, no trace is started, and histories contain none. The default is the global
    one, also if that is set later.
    """

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        super().__init__(trace.get_tracer("scenario.runtime", tracer_provider=provider))
        self._provider = provider
        self.text_map_propagator = PROPAGATOR
        self.payload_converter = _HEADERS

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _AttemptTracing(next, self)

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[TracingWorkflowInboundInterceptor]:
        super().workflow_interceptor_class(input)
        input.unsafe_extern_functions.update(  # pyright: ignore[reportUnknownMemberType]
            {_RUN_CONTEXT: self._run_context, _RUN_SPAN: self._run_span}
        )
        return JourneyInbound

    @contextmanager
    def attempt(self, input: ExecuteActivityInput) -> Generator[None]:
        """Make the span of an attempt of the current activity."""
        info = activity.info()
        attributes: dict[str, AttributeValue] = {
            "temporalActivityID": info.activity_id,
            "scenario.attempt": info.attempt,
            **_delivery_ids(input.args),
        }
        if info.workflow_id and info.workflow_run_id:
            attributes |= {"temporalWorkflowID": info.workflow_id, "temporalRunID": info.workflow_run_id}
        with self._start_as_current_span(
            f"RunActivity:{info.activity_type}",
            attributes=attributes,
            kind=SpanKind.SERVER,
            # Empty without a trace: the current context is that of the worker's start.
            context=self._context_from_headers(input.headers) or Context(),
        ):
            yield

    @contextmanager
    def _start_as_current_span(
        self,
        name: str,
        *,
        attributes: Attributes,
        input_with_headers: Any = None,
        input_with_ctx: Any = None,
        kind: SpanKind,
        context: Context | None = None,
    ) -> Generator[None]:
        # Like the SDK's, except for errors: the exception's text and traceback go into no span, and an
        # attempt that failed is marked, also if the failure was expected.
        del input_with_ctx  # Nexus operations: there are none
        with self.tracer.start_as_current_span(
            name, context, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            if input_with_headers is not None:
                input_with_headers.headers = self._context_to_headers(input_with_headers.headers)
            try:
                yield
            except Exception as error:
                _mark(span, error)
                raise

    def _completed_workflow_span(self, params: Any) -> Any:
        # Called from a workflow that is not replaying: a span without length, at the workflow's own time. As the
        # SDK's, except that it starts no trace from the current context, and for errors.
        if params.parent_missing:
            return None
        context = extract(params.context)
        sender = trace.get_current_span(extract(params.link_context or {})).get_span_context()
        span = self.tracer.start_span(
            params.name,
            context,
            params.kind,
            params.attributes,
            links=[Link(sender)] if sender.is_valid else [],
            start_time=params.time_ns,
        )
        if params.exception is not None:
            _mark(span, params.exception)
        span.end(params.time_ns)
        return inject(trace.set_span_in_context(span, context))

    def _run_context(self, run: TracedRun) -> Carrier:
        sdk = self._sdk()
        return run.parent if sdk is None else inject(run.below(sdk[0].sampler))

    def _run_span(self, run: TracedRun, attributes: Attributes, time_ns: int) -> None:
        if (sdk := self._sdk()) is None:
            return
        provider, ids = sdk
        above = run.above(provider.sampler)
        with ids.fixed(*run.ids(above)):
            span = self.tracer.start_span(run.name, above, SpanKind.SERVER, attributes, start_time=time_ns)
        span.end(time_ns)

    def _sdk(self) -> tuple[TracerProvider, JourneyIds] | None:
        provider = self._provider or trace.get_tracer_provider()
        if isinstance(provider, TracerProvider) and isinstance(provider.id_generator, JourneyIds):
            return provider, provider.id_generator
        return None


class JourneyInbound(TracingWorkflowInboundInterceptor):
    """The workflow side. Runs within the sandbox, and is created for every workflow."""

    def __init__(self, next: WorkflowInboundInterceptor) -> None:
        super().__init__(next)
        self.text_map_propagator = PROPAGATOR
        self.payload_converter = _HEADERS
        self._externs: Mapping[str, Callable[..., Any]] = workflow.extern_functions()  # pyright: ignore[reportUnknownMemberType]

    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
        """Make the run's own span, and everything else below it."""
        if not workflow.unsafe.is_replaying():
            info = workflow.info()
            attributes = {"temporalWorkflowID": info.workflow_id, "temporalRunID": info.run_id}
            self._externs[_RUN_SPAN](self._run(), attributes, workflow.time_ns())
        with self._top_level_workflow_context(success_is_complete=True):
            # Not the base's, which would make the run's span once more.
            return await self.next.execute_workflow(input)

    def _run(self) -> TracedRun:
        info = workflow.info()
        header = info.headers.get(self.header_key)
        parent: Carrier = _HEADERS.from_payloads([header])[0] if header else {}
        return TracedRun(info.workflow_type, info.first_execution_run_id, info.original_execution_run_id, parent)

    def _load_workflow_context_carrier(self) -> Any:
        # The parent of the spans of the run and of the handlers of signals and updates.
        if self._workflow_context_carrier is None:
            self._workflow_context_carrier = self._externs[_RUN_CONTEXT](self._run())
        return self._workflow_context_carrier

    def _context_to_headers(self, headers: Mapping[str, Payload]) -> Mapping[str, Payload]:
        # For continue-as-new alone. Runs are siblings, or a long journey would be a deep trace.
        return self._context_carrier_to_headers({**self._run().parent}, headers)

    def _completed_span(self, span_name: str, **options: Any) -> None:
        scheduled = options.get("add_to_outbound")
        # A local activity has another input class; an activity with an id chosen by the journey is a step's.
        if isinstance(scheduled, StartActivityInput) and scheduled.activity_id:
            span_name = f"step {scheduled.activity_id}"
            options["additional_attributes"] = {"scenario.step": scheduled.activity_id, **_delivery_ids(scheduled.args)}
        super()._completed_span(span_name, **options)


class _AttemptTracing(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, root: JourneyTracing) -> None:
        super().__init__(next)
        self._root = root

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        with self._root.attempt(input):
            return await self.next.execute_activity(input)


def _delivery_ids(arguments: Sequence[Any]) -> dict[str, AttributeValue]:
    if not arguments:
        return {}
    named = {"scenario.delivery": "id", "scenario.version": "scenario", "scenario.contact": "contact"}
    found = {name: getattr(arguments[0], field, None) for name, field in named.items()}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _mark(span: trace.Span, error: BaseException) -> None:
    kind = error.type if isinstance(error, ApplicationError) and error.type else type(error).__name__
    span.set_attribute("error.type", kind)
    # The message of an ApplicationError is ours, without data. Others may quote any.
    span.set_status(Status(StatusCode.ERROR, error.message if isinstance(error, ApplicationError) else None))
