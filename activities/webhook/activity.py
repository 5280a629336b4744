"""The activity that sends a webhook: renders it, sends it once, and tells Temporal what that means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.content import Content, UnknownVersion
from activities.context import Addresses, attempt_data
from activities.failures import Kind
from activities.log import Log, OpenAttempt, attempt_of
from activities.signatures import SEND_WEBHOOK, Delivery, Sent
from activities.webhook import outcome, redaction, retry_after
from activities.webhook.errors import AttemptError
from activities.webhook.outcome import Outcome, Verdict
from activities.webhook.route import Direct, Route, Routes
from activities.webhook.transport import Request, Response, Transport
from scenario import liquid, model
from scenario.errors import Aborted, TemplateError

SHORT: Final = timedelta(hours=1)
"""How long a receiver that looks misconfigured (401, 404, a bad certificate) is tried, from the first attempt on."""
_LAST: Final = 5.0
"""Seconds before the deadline at which a last attempt is begun, however long the receiver asked us to wait."""
_TRACE_CONTEXT = TraceContextTextMapPropagator()
_tracer = trace.get_tracer(__name__)


@dataclass(frozen=True)
class Rendered:
    """A webhook as it would be sent, but for the headers of the single attempt."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


_TYPES: Final[Mapping[model.Content, str]] = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
}
"""Content types, by how a body is written."""


def render(step: model.Webhook, data: Mapping[str, Any], delivery_id: str, base: str | None = None) -> Rendered:
    """Renders a webhook: a pure function, so that every attempt sends the same bytes.

    Args:
        step: As it was published.
        data: By root name, `now`, `today` and `secrets` among it.
        delivery_id: Goes into ``webhook-id`` and ``idempotency-key``.
        base: URL of the destination that a step with ``to`` names; without it, the URL is the rendered path alone.

    Raises:
        TemplateError: A template fails on this data.
        Aborted: A template says that nothing should be sent.
    """
    headers = {name: liquid.render_header(value, data) for name, value in step.headers.items()}
    headers["webhook-id"] = delivery_id
    if not any(name.lower() == "idempotency-key" for name in headers):
        headers["idempotency-key"] = f'"{delivery_id}"'
    body = b""
    if step.body is not None and not isinstance(step.body, model.File):
        body = _body(step.content, step.body, data)
        if not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = _TYPES[step.content]
    return Rendered(step.method, _url(step, data, base), headers, body)


def _body(content: model.Content, body: str | dict[str, Any] | list[Any], data: Mapping[str, Any]) -> bytes:
    match content, body:
        case "form", dict():
            return liquid.render_form(body, data)
        case "text", str():
            return liquid.render_plain(body, data)
        case "json", _:
            return liquid.render_json(body, data)
        case _:
            raise TemplateError(model.body_fault(content, body) or f"no body can be written as {content}")


def _url(step: model.Webhook, data: Mapping[str, Any], base: str | None) -> str:
    """The address: the step's own URL, or its path behind that of its destination."""
    if step.url is not None:
        return liquid.render_url(step.url, data)
    path = "" if step.path is None else liquid.render_path(step.path, data)
    return path if base is None else f"{base.rstrip('/')}{path}" if path else base


class Webhooks:
    """The webhook channel.

    Args:
        content: Published scenarios.
        transport: Sends requests; open for as long as the worker runs.
        secrets: Gives the secrets that templates may name, as they are at the moment.
        log: Where attempts are recorded.
        routes: Where URLs lead.
        callbacks: Makes `journey.callback_url`; None where it is not configured.
    """

    def __init__(
        self,
        content: Content,
        transport: Transport,
        secrets: Callable[[], Mapping[str, str]],
        log: Log,
        routes: Routes | None = None,
        callbacks: Addresses | None = None,
    ) -> None:
        self._callbacks = callbacks
        self._content, self._transport, self._secrets, self._log = content, transport, secrets, log
        self._routes = routes or Direct()

    @activity.defn(name=SEND_WEBHOOK.name)
    async def send_webhook(self, delivery: Delivery) -> Sent:
        """Makes one attempt.

        Returns:
            ``delivered`` for a 2xx, or ``skipped`` where a template aborted.

        Raises:
            ApplicationError: Anything else; see `activities.failures`.
        """
        with attempt_of(delivery, channel="webhook", destination="webhook", log=self._log) as attempt:
            secrets = self._secrets()
            try:
                rendered = await self._render(attempt, secrets)
            except Aborted as aborted:
                return attempt.skipped(aborted.reason)
            except (TemplateError, UnknownVersion) as error:
                raise attempt.failure(Kind.TEMPLATE, f"The webhook cannot be rendered: {error}") from None
            route = self._routes.find(rendered.url)
            attempt.destination = route.destination
            try:
                response = await self._send(attempt, rendered, route)
            except AttemptError as error:
                raise _error(attempt, outcome.of_error(error.word), str(error), error=error.word) from None
            return self._judge(attempt, response, list(secrets.values()))

    async def _render(self, attempt: OpenAttempt, secrets: Mapping[str, str]) -> Rendered:
        delivery = attempt.delivery
        step = await self._content.step(delivery.name, delivery.version, delivery.step)
        if not isinstance(step, model.Webhook):
            raise UnknownVersion(f"step '{delivery.step}' of {delivery.scenario} is no webhook")
        data = attempt_data(attempt, activity.info().workflow_id, self._callbacks) | {"secrets": dict(secrets)}
        return render(step, data, delivery.id)

    async def _send(self, attempt: OpenAttempt, rendered: Rendered, route: Route) -> Response:
        with _tracer.start_as_current_span(
            rendered.method,
            kind=trace.SpanKind.CLIENT,
            attributes={
                "http.request.method": rendered.method,
                "server.address": route.destination,
                "http.request.resend_count": attempt.number - 1,
            },
            record_exception=False,  # the exception's text is our own, but its traceback is not
            set_status_on_exception=False,
        ) as span:
            headers = dict(rendered.headers)
            _TRACE_CONTEXT.inject(headers)  # never baggage: it may hold what is nobody's business
            attempt.sending()
            try:
                response = await self._transport.send(
                    Request(
                        method=rendered.method,
                        url=route.url,
                        headers=headers,
                        body=rendered.body,
                        timeout=attempt.delivery.timeout,
                        access=route.access,
                        tls=route.tls,
                    )
                )
            except AttemptError as error:
                span.set_attribute("error.type", error.word)
                span.set_status(trace.StatusCode.ERROR)
                raise
            span.set_attribute("http.response.status_code", response.status)
            if response.status >= 400:
                span.set_attribute("error.type", str(response.status))
                span.set_status(trace.StatusCode.ERROR)
            return response

    def _judge(self, attempt: OpenAttempt, response: Response, secrets: list[str]) -> Sent:
        asked = retry_after.parse(response.headers.get("retry-after"), datetime.now(UTC))
        verdict = outcome.of_status(response.status, retry_after=asked is not None)
        excerpt = redaction.readable(response.body, secrets)
        if verdict.delivered:
            return attempt.delivered(response.status, excerpt)
        sentence = f"{attempt.destination} answered {response.status}"
        raise _error(attempt, verdict, sentence, status=response.status, excerpt=excerpt, asked=asked)


def _error(
    attempt: OpenAttempt,
    verdict: Verdict,
    sentence: str,
    *,
    status: int | None = None,
    error: str | None = None,
    excerpt: str = "",
    asked: int | None = None,
) -> ApplicationError:
    """The failure to raise for a verdict that is not "delivered"."""
    info = activity.info()
    kind = Kind.PERMANENT if verdict.final else Kind.RETRY
    if verdict.outcome is Outcome.RETRY_SHORT and datetime.now(UTC) - info.scheduled_time > SHORT:
        kind = Kind.PERMANENT
        sentence = f"{sentence}, still after an hour"
    delay = retry_after.lengthen(asked, _planned(info), _left(info)) if kind is Kind.RETRY else None
    return attempt.failure(
        kind,
        sentence,
        status=status,
        error=error or verdict.reason,
        unknown=verdict.unknown,
        excerpt=excerpt,
        next_retry_delay=None if delay is None else timedelta(seconds=delay),
    )


def _planned(info: activity.Info) -> float:
    """Seconds until the next attempt by the retry policy as it is now."""
    policy = info.retry_policy
    if policy is None:
        return 0.0
    longest = (policy.maximum_interval or 100 * policy.initial_interval).total_seconds()
    try:
        return min(policy.initial_interval.total_seconds() * policy.backoff_coefficient ** (info.attempt - 1), longest)
    except OverflowError:
        return longest


def _left(info: activity.Info) -> float:
    """Seconds until the last moment at which an attempt can be begun."""
    if info.schedule_to_close_timeout is None:
        return float("inf")
    end = info.scheduled_time + info.schedule_to_close_timeout
    return (end - datetime.now(UTC)).total_seconds() - _LAST
