"""The webhook channel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override

from activities import redaction
from activities.channel import (
    TEST_HEADER,
    Arrival,
    AttemptReply,
    BadDestination,
    ChannelActivity,
    ChannelAdapter,
    LocalServers,
    RenderContext,
    RenderedMessage,
    SendContext,
    TestReply,
    Unsendable,
    shorten,
)
from activities.interface import Delivery, Sent
from activities.outcome import Judgement
from activities.webhook import signing
from activities.webhook.destinations.destinations import Destination, bearer
from activities.webhook.errors import WORDS, AttemptError, RefusedError
from activities.webhook.http.exchange import sent_headers
from activities.webhook.outcome import of_response
from activities.webhook.rendering import render, with_headers
from scenario.http.urls import Access, UrlError, parse
from scenario.plan.compile import named_secrets
from scenario.steps.base import Row
from scenario.steps.delivery import Send
from scenario.steps.webhook import Webhook

if TYPE_CHECKING:
    from activities.attempt_context import AttemptContext
    from activities.webhook.http.exchange import Request
    from activities.webhook.http.transport import Transport


class Masks(dict[str, str]):
    """A mask for every secret name, such as ``~~WAX_TOKEN~~``.

    It has all names: a preview must not reveal which secrets a worker has. `scenario check` refuses those that may not
    be used. URLs, headers, forms and JSON leave the characters of a mask unchanged.
    """

    def __missing__(self, name: str) -> str:
        return mask(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)


def mask(name: str) -> str:
    """Return the text that previews show in the place of a secret."""
    return f"~~{name}~~"


def masked_parts(found: Destination) -> tuple[str, dict[str, str]]:
    """Return a destination's URL and its own headers, with masks in the place of secrets."""
    masks = {secret: mask(secret) for secret in found.own_secrets}
    token = bearer(mask("access_token") if found.oauth2 else "")
    return found.rendered_url(masks), found.rendered_headers(masks) | token


@dataclass(frozen=True)
class RenderedRequest(RenderedMessage):
    """A webhook's request."""

    method: str
    url: str
    headers: Mapping[str, str]  # all headers that are the same in each attempt
    body: bytes
    attempt_headers: tuple[str, ...] = ("webhook-timestamp", "traceparent")  # those that differ between attempts

    @override
    def describe(self) -> dict[str, Any]:
        made: dict[str, Any] = {"method": self.method, "url": self.url, "headers": dict(self.headers)}
        return {"request": made | {"attempt_headers": list(self.attempt_headers), "body": self.body.decode()}}

    @override
    def facts(self) -> dict[str, Any]:
        return {"method": self.method, "url": self.url, "headers": dict(self.headers), **self._body()}

    def _body(self) -> dict[str, Any]:
        kind = next((value for name, value in self.headers.items() if name.lower() == "content-type"), "")
        text = self.body.decode(errors="replace")
        if "x-www-form-urlencoded" in kind:
            fields = parse_qs(text, keep_blank_values=True)
            return {"body": {name: values if len(values) > 1 else values[0] for name, values in fields.items()}}
        try:
            return {"body": json.loads(text)} if text else {}
        except ValueError:
            return {"body": text}

    @override
    def defect(self, row: Row) -> str:
        if self.headers.get("content-type") == "application/json" and self.body:
            try:
                json.loads(self.body)
            except ValueError:
                return "the body is not JSON: report this as a bug"
        if isinstance(row, Send) and not row.destination and urlsplit(self.url).hostname != row.to:
            return "the request goes to another host: report this as a bug"
        return ""


class WebhookChannel(ChannelAdapter[RenderedRequest, None]):
    """Webhooks: one HTTP request each, to a URL or a named destination."""

    title: ClassVar[str] = "webhooks"
    errors: ClassVar[frozenset[str]] = frozenset(WORDS)

    @override
    def render(
        self, step: Webhook, delivery: Delivery, data: dict[str, Any], context: RenderContext
    ) -> RenderedRequest:
        data["secrets"] = Masks()
        found = context.book.get(step.to) if context.book and step.to else None
        base, own = masked_parts(found) if found else (step.to and f"{step.to}:", dict[str, str]())
        made = render(step, data, delivery.id, base=base)
        if found:
            made = with_headers(made, step, own, found.name)
        try:
            headers = sent_headers(made.headers)
            url = made.url if step.to and not found else parse(made.url, found.access if found else Access()).url
        except RefusedError as error:
            raise Unsendable(str(error)) from None
        except UrlError as error:
            raise Unsendable(f"the URL may not be called: {error}") from None
        signature = ("webhook-signature",) if found and found.signing else ()
        return RenderedRequest(made.method, url, headers, made.body, ("webhook-timestamp", *signature, "traceparent"))

    @override
    async def deliver(self, activity: ChannelActivity[None], delivery: Delivery, context: AttemptContext) -> Sent:
        from activities.webhook.activity import deliver

        return await deliver(activity, delivery, context)

    @override
    async def send(self, context: SendContext[RenderedRequest, None]) -> tuple[RenderedRequest, TestReply]:
        from activities.webhook.http.transport import Transport
        from activities.webhook.oauth2 import TokenUnavailableError

        now = datetime.now(UTC)
        async with Transport() as transport:
            if context.to is None:
                try:
                    message, request, host, hidden = await self._addressed(context, transport)
                except TokenUnavailableError as error:
                    return context.message, TestReply(delivered=False, said=str(error))
            else:
                message, request, host = self._redirected(context, context.to, now)
                hidden = redaction.known(tuple(context.secrets.values()))
            message = replace(message, headers={**message.headers, TEST_HEADER: "1"}, attempt_headers=())
            try:
                response = await transport.send(request)
            except AttemptError as error:
                return message, TestReply.judged(str(error), error.verdict)
        named = context.to is None and isinstance(context.step, Webhook) and context.step.to is not None
        judgement = of_response(host, response.status, response.headers, response.body, named=named, now=now)
        headers = {name: redaction.excerpt(value.encode(), hidden) for name, value in response.headers.items()}
        body = redaction.excerpt(response.body, hidden)
        return message, TestReply.judged(
            judgement.sentence, judgement.verdict, status=response.status, headers=headers, body=body
        )

    async def _addressed(
        self, context: SendContext[RenderedRequest, None], transport: Transport
    ) -> tuple[RenderedRequest, Request, str, redaction.KnownSecrets]:
        """Return the request with real secrets, to where the scenario sends it."""
        from activities.webhook.http.exchange import Request
        from activities.webhook.oauth2 import AccessTokens
        from activities.webhook.rendering import prepare_request

        step, delivery, message = context.step, context.delivery, context.message
        assert isinstance(step, Webhook)  # noqa: S101 no other step makes a request
        secrets, to = context.secrets, context.routes.named(step.to).named if step.to is not None else None
        token = await AccessTokens(transport).token(to, secrets) if to else ""
        ready = await asyncio.to_thread(
            partial(prepare_request, scenario=delivery.name, routes=context.routes, secrets=secrets, token=token),
            *(step, delivery.step, context.data, delivery.id),
            named=named_secrets(step) if step.secrets else frozenset[str](),
        )
        sent, route = ready.rendered, ready.route
        mine = {name: value for name, value in sent.headers.items() if name in message.attempt_headers}
        headers = {**sent.headers, TEST_HEADER: "1"}
        request = Request(sent.method, route.url, headers, sent.body, delivery.timeout, route.access, route.tls)
        shown = replace(message, headers={**message.headers, **mine})
        return shown, request, route.destination, ready.hidden

    def _redirected(
        self, context: SendContext[RenderedRequest, None], to: str, now: datetime
    ) -> tuple[RenderedRequest, Request, str]:
        """Return the request with masks in the place of secrets, to the URL `to`."""
        from activities.webhook.http.exchange import Request

        message, delivery = context.message, context.delivery
        url, access, host = _destination(to, context)
        signature = signing.headers([], delivery.id, now, message.body)
        message = replace(message, url=to, headers={**message.headers, **signature})
        headers = {**message.headers, TEST_HEADER: "1"}
        return message, Request(message.method, url, headers, message.body, delivery.timeout, access), host

    @override
    def classify(self, reply: AttemptReply, row: Send, now: datetime) -> Judgement:
        if reply.error is not None:
            error = AttemptError(reply.error)
            return Judgement(error.verdict, str(error).removesuffix("."))
        status = reply.status or self.success
        return of_response(row.to or row.kind, status, reply.headers, reply.body, named=row.destination, now=now)

    @override
    async def verify(
        self, servers: LocalServers, name: str, step: Webhook, data: dict[str, Any], delivery_id: str
    ) -> Arrival:
        wanted = render(step, data, delivery_id, base=servers.routes.named(step.to).url if step.to else None)
        host = step.to or servers.routes.find(wanted.url).destination
        got = [request for request in servers.receiver.requests() if request.header("webhook-id") == delivery_id]
        taken = [request for request in got if request.status < 300]
        problem = ""
        if len(taken) != 1:
            problem = f"the receiver took it {len(taken)} times"
        elif any(request.body != wanted.body for request in got):
            problem = "the receiver got other bytes than were rendered"
        elif any(request.method != wanted.method for request in got):
            problem = "the receiver got another method"
        elif any(taken[0].header(key) != value for key, value in wanted.headers.items()):
            problem = "the receiver got other headers"
        return Arrival(name, host, shorten(wanted.body.decode()), problem)

    @override
    def destination(self, context: SendContext[RenderedRequest, None]) -> str:
        if context.to is None and isinstance(context.step, Webhook) and context.step.to:
            return context.step.to
        try:
            return urlsplit(context.to or context.message.url).hostname or ""
        except ValueError:
            return ""


def _destination(to: str, context: SendContext[RenderedRequest, None]) -> tuple[str, Access, str]:
    """Return the URL to call for `to`, its network access and its host.

    Raise BadDestination if it may not be called.
    """
    try:
        parts = urlsplit(to)
        port = parts.port or {"http": 80}.get(parts.scheme, 443)
        if context.guarded:
            route = context.routes.find(to)
            url, access = route.url, route.access
        else:
            url, access = to, Access(allow_private=True, allow_http=True, ports=(port,))
        parse(url, access)
    except (UrlError, ValueError) as error:
        raise BadDestination(str(error)) from None
    return url, access, parts.hostname or ""


ADAPTER: Final = WebhookChannel()
