"""The attempts of webhooks: render, send once, report."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from activities import redaction
from activities.attempt_context import AttemptContext
from activities.background import BATCH_WORKFLOW
from activities.channel import ChannelActivity, WorkerContext
from activities.interface import Delivery, Sent
from activities.open_attempt import OpenAttempt
from activities.outcome import Backoff, Judgement
from activities.webhook import outcome
from activities.webhook.circuit_breaker import signal_of
from activities.webhook.destinations.destinations import CredentialsError, Destination
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import MAX_BODY, MAX_RESULTS, Request, Response
from activities.webhook.http.transport import Transport, timed
from activities.webhook.oauth2 import TokenUnavailableError
from activities.webhook.outcome import save_response
from activities.webhook.rendering import PreparedRequest, Rendered, prepare_request
from activities.webhook.route import Route
from scenario.model.batch import batch_data
from scenario.steps.webhook import Webhook

_TRACE_CONTEXT = TraceContextTextMapPropagator()
_tracer = trace.get_tracer(__name__)


async def deliver(activity: ChannelActivity[None], delivery: Delivery, context: AttemptContext) -> Sent:
    """Send a journey's webhook: render, send once, report."""
    services = activity.context
    async with activity.attempt(delivery, context, unrendered="The webhook cannot be rendered: ") as attempt:
        step = await services.content.step_of(delivery, Webhook, "a webhook")
        if step.to is not None:
            attempt.destination = step.to
        batches, members = services.batches, None
        if step.batch is not None and context.info.workflow_type not in ("Journey", BATCH_WORKFLOW):
            raise attempt.not_sent("A batch call is joined by journeys alone: nothing was sent", "batch")
        if step.batch is not None and context.info.workflow_type != BATCH_WORKFLOW:
            await batches.join(attempt, step, step.batch, await activity.data(attempt, step))
            return attempt.sent
        if step.batch is not None:
            members = await batches.members(attempt)
            if members is None:
                return attempt.sent
        data = await activity.data(attempt, step) if members is None else batch_data(members.data, delivery.now)
        secrets = services.secrets()
        prepare = partial(
            prepare_request,
            step,
            delivery.step,
            data,
            delivery.id if members is None else members.request_id(delivery),
            scenario=delivery.name,
            routes=services.routes,
            secrets=secrets,
            named=(await services.content.open(delivery.name, delivery.version)).secrets(delivery.step),
        )
        destination = services.routes.named(step.to).named if step.to is not None else None
        token = await _token(services, attempt, destination, secrets)
        # A large batch would block other deliveries.
        ready = prepare(token=token) if members is None else await asyncio.to_thread(prepare, token=token)
        longest = MAX_BODY if step.batch is None or step.batch.results is None else MAX_RESULTS
        attempt.destination = ready.route.destination
        if token and ready.route.named != destination:
            why = f"Destination {attempt.destination} was changed while its access token was fetched"
            raise attempt.not_sent(why, "access_token")
        await (attempt.may_leave() if members is None else attempt.is_wanted())
        response = await _send(services, attempt, ready, longest)
        if response.status == HTTPStatus.UNAUTHORIZED and token:  # revoked, or expired on the way
            newer = await _another_token(services, attempt, destination, secrets, token)
            if newer and (again := prepare(token=newer)).route.named == destination:
                ready = again
                response = await _send(services, attempt, ready, longest)
        note = None
        if members is not None and step.batch is not None and outcome.of_status(response.status).delivered:
            note = await batches.record(attempt, members, step.batch, response, ready.hidden)
        judge(attempt, response, step, ready.hidden, ready.given, note)
    return attempt.sent


async def _token(
    services: WorkerContext, attempt: OpenAttempt, destination: Destination | None, secrets: Mapping[str, str]
) -> str:
    """Return the access token of a step's destination, if it uses one. Without it, Temporal retries later."""
    if destination is None:
        return ""
    try:
        async with asyncio.timeout(max(attempt.within, 0.0)):
            return await services.calls.tokens.token(destination, secrets)
    except TokenUnavailableError as error:
        raise attempt.backed_off(error.backoff) from None
    except TimeoutError:
        why = f"Destination {destination.name} got no access token in time"
        raise attempt.not_sent(why, "access_token") from None


async def _another_token(
    services: WorkerContext, attempt: OpenAttempt, destination: Destination | None, secrets: Mapping[str, str], old: str
) -> str:
    """Return the token after one that was rejected, or nothing: the response to that one then counts."""
    try:
        async with asyncio.timeout(max(attempt.within, 0.0)):
            newer = await services.calls.tokens.token(destination, secrets, rejected=old) if destination else old
    except (CredentialsError, TokenUnavailableError, TimeoutError):
        return ""
    return "" if newer == old else newer


async def _send(services: WorkerContext, attempt: OpenAttempt, ready: PreparedRequest, longest: int) -> Response:
    """Send the request once the limiter admits it, and report the receiver's health to the limiter."""
    route = ready.route
    permit = services.limiter.enter(route.destination, route.limits, attempt.delivery.id)
    if isinstance(permit, Backoff):
        raise attempt.backed_off(permit)
    with permit as passed:
        try:
            response = await exchange(services.transport, attempt, ready.rendered, route, longest)
        except AttemptError as error:
            passed.leave(error.pulse)
            raise attempt.failed(Judgement(error.verdict, str(error).removesuffix("."))) from None
        passed.leave(signal_of(response.status))
        return response


async def exchange(
    transport: Transport, attempt: OpenAttempt, rendered: Rendered, route: Route, longest: int = MAX_BODY
) -> Response:
    """Send a request once, in a client span, with the trace's context, or raise AttemptError.

    The span's attributes follow OpenTelemetry's semantic conventions for HTTP client spans, except ``url.full``,
    because paths and queries are confidential.
    """
    attributes: dict[str, str | int] = {"http.request.method": rendered.method, **route.server}
    attributes["scenario.destination"] = route.destination
    if attempt.number > 1:
        attributes["http.request.resend_count"] = attempt.number - 1
    await attempt.sending()
    span = _tracer.start_span(rendered.method, kind=trace.SpanKind.CLIENT, attributes=attributes)
    try:
        headers = dict(rendered.headers)
        _TRACE_CONTEXT.inject(headers, trace.set_span_in_context(span))  # never baggage: it may be confidential
        headers.pop("tracestate", None)  # nor what tracing systems say to each other (W3C Trace Context §3.3 allows it)
        try:
            what = (rendered.method, route.url, headers, rendered.body)
            request = Request(*what, attempt.within, route.access, route.tls, longest)
            response = await timed(transport, route.destination, request)
        except AttemptError as error:
            span.set_attribute("error.type", error.word)
            span.set_status(trace.StatusCode.ERROR)
            raise
        span.set_attribute("http.response.status_code", response.status)
        if response.status >= HTTPStatus.BAD_REQUEST:
            span.set_attribute("error.type", str(response.status))
            span.set_status(trace.StatusCode.ERROR)
        return response
    finally:
        span.end()


def judge(
    attempt: OpenAttempt,
    response: Response,
    step: Webhook,
    hidden: redaction.KnownSecrets,
    given: redaction.KnownSecrets,
    note: str | None = None,
) -> Sent:
    """Return the result of a response, or raise its failure.

    Excerpts show nothing `hidden`. What was `given` with this request is masked in saved responses.
    """
    judgement = outcome.of_response(
        attempt.destination,
        response.status,
        response.headers,
        response.body,
        named=step.to is not None,
        now=attempt.now,
    )
    excerpt = redaction.excerpt(response.body, hidden)
    if not judgement.verdict.delivered:
        raise attempt.failed(judgement, status=response.status, excerpt=excerpt)
    saved, note = save_response(step.save, response, given) if step.save else (None, note)
    if step.save is not None and step.save.required and saved is None:
        return attempt.refused_answer(response.status, excerpt, note)
    return attempt.delivered(response.status, excerpt, saved=saved, note=note)
