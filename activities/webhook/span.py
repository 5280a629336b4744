"""A client span for one request and its response.

Attributes follow OpenTelemetry's semantic conventions for HTTP client spans, except ``url.full``, because paths and
queries are confidential.
"""

from __future__ import annotations

import time
from typing import Final

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from activities.open_attempt import OpenAttempt
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Request, Response
from activities.webhook.http.transport import Transport
from activities.webhook.rendering import Rendered
from activities.webhook.route import Route
from runtime.telemetry.metrics import HTTP_CLIENT

_TRACE_CONTEXT = TraceContextTextMapPropagator()
_tracer = trace.get_tracer(__name__)
_CLIENT_ERROR: Final = 400


async def exchange(transport: Transport, attempt: OpenAttempt, rendered: Rendered, route: Route) -> Response:
    """Send a request once.

    Args:
        transport: The transport.
        attempt: The attempt.
        rendered: The signed request; the trace's context is added.
        route: Its route.

    Raises:
        AttemptError: There is no response.
        ApplicationError: The server could not store the mark; see `OpenAttempt.sending`.
    """
    attributes: dict[str, str | int] = {"http.request.method": rendered.method, **route.server}
    attributes["scenario.destination"] = route.destination
    if attempt.number > 1:
        attributes["http.request.resend_count"] = attempt.number - 1
    await attempt.sending()
    with _tracer.start_as_current_span(
        rendered.method,
        kind=trace.SpanKind.CLIENT,
        attributes=attributes,
        record_exception=False,  # the exception's text is our own, but its traceback is not
        set_status_on_exception=False,
    ) as span:
        headers = dict(rendered.headers)
        _TRACE_CONTEXT.inject(headers)  # never baggage: it may hold what is nobody's business
        headers.pop("tracestate", None)  # nor what tracing systems say to each other (W3C Trace Context §3.3 allows it)
        try:
            response = await timed(
                transport,
                route.destination,
                Request(
                    method=rendered.method,
                    url=route.url,
                    headers=headers,
                    body=rendered.body,
                    timeout=attempt.within,
                    access=route.access,
                    tls=route.tls,
                ),
            )
        except AttemptError as error:
            span.set_attribute("error.type", error.word)
            span.set_status(trace.StatusCode.ERROR)
            raise
        span.set_attribute("http.response.status_code", response.status)
        if response.status >= _CLIENT_ERROR:
            span.set_attribute("error.type", str(response.status))
            span.set_status(trace.StatusCode.ERROR)
        return response


async def timed(transport: Transport, destination: str, request: Request) -> Response:
    """Send a request once, and measure its duration.

    Raises:
        AttemptError: There is no response.
    """
    began = time.perf_counter()
    status = error = None
    try:
        response = await transport.send(request)
        status, error = response.status, str(response.status) if response.status >= _CLIENT_ERROR else None
    except AttemptError as failed:
        error = failed.word
        raise
    finally:
        if status or error:  # one that was cut off says nothing of the receiver
            HTTP_CLIENT.record(time.perf_counter() - began, destination, request.method, status, error)
    return response
