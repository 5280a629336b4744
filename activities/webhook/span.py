"""One request and its answer as a client span: what travels, what is seen of it, and nothing more.

Attributes follow OpenTelemetry's semantic conventions for HTTP client spans, but for ``url.full``: paths and queries
hold what is nobody's business.
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
    """Send a request, once.

    Args:
        transport: Sends it.
        attempt: The attempt that it is.
        rendered: What to send, signature and all; the trace's context is added.
        route: Where to.

    Raises:
        AttemptError: There is no response.
        ApplicationError: The server could not note that it is about to leave; see `OpenAttempt.sending`.
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
    """Send a request, once, and measures how long that takes.

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
