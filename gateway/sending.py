"""One message of a scenario, sent for real to try it out: by the channels' own code, without a journey.

Its webhook or e-mail says so in a header, and its delivery id begins with ``msg_test``. It respects suppressions and
SCENARIO_TEST_RECIPIENTS, and is recorded as a test in the log of attempts. Nothing is retried.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, cast
from urllib.parse import urlsplit
from uuid import uuid4

from activities import redaction
from activities.channels import Channels
from activities.context import template_data
from activities.email.errors import MailError
from activities.email.smtp import NO_MAILER, Mailer
from activities.interface import EMAIL, SMS, WEBHOOK, Delivery
from activities.outcome import Outcome, Verdict
from activities.sms.configured import NO_PROVIDER
from activities.sms.errors import ProviderError
from activities.sms.provider import Provider, TextMessage
from activities.webhook import signing
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Request
from activities.webhook.http.transport import Transport
from activities.webhook.outcome import of_response
from activities.webhook.outgoing import outgoing
from activities.webhook.route import Routes
from gateway.errors import BadInput
from gateway.preview.contact import Given, Preview, preview
from gateway.preview.draft import Draft
from gateway.preview.places import Places
from gateway.preview.rendering import Nothing, Problem, Rendered, RenderedMail, RenderedRequest, RenderedText
from gateway.trial_messages import TrialMessage, Trials
from scenario.errors import BadRecipient, NotConfigured
from scenario.http.access import Access
from scenario.http.urls import UrlError, parse
from scenario.plan.inputs import named_secrets
from scenario.policies.order import rules_of
from scenario.policies.policies import Policies
from scenario.steps.base import BaseStep, Row
from scenario.steps.delivery import DeliveryStep, Send
from scenario.steps.webhook import Webhook

HEADER: Final = "x-scenario-test"
_THEN: Final = {
    Outcome.RETRY: "a journey would try again",
    Outcome.RETRY_SHORT: "a journey would try again for an hour",
    Outcome.PERMANENT: "a journey would not try again",
    Outcome.REFUSED: "a journey would not try again",
}
_RECIPIENTS: Final = {"bad_address": "an e-mail address", "bad_number": "a number with its country's code"}
"""Who can be named instead of a contact, by the word of the error where that is none."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back.

    Attributes:
        delivered: Whether the receiver has the message.
        said: What happened, as a sentence without a full stop.
        status: The receiver's code.
        headers: Of a webhook's response.
        body: How the answer begins, masked.
        verdict: Why it was not delivered.
    """

    delivered: bool
    said: str
    verdict: Verdict | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: str = ""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A message that was sent.

    Attributes:
        id: Its delivery id.
        contact: What the scenario makes of the contact.
        message: As it was sent, with the names of secrets in their places.
        answer: What came back.
        milliseconds: How long that took.
    """

    id: str
    contact: Preview
    message: Rendered
    answer: Answer
    milliseconds: int


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a message is sent with.

    Attributes:
        channels: E-mail and SMS.
        routes: Where webhooks lead.
        secrets: All there are.
        to: Where it goes instead: a URL, to which no secret is sent; an e-mail address, or a number.
        called: What the person who sends it knows `to` by.
        sender: The key or person that sends it, for the log of attempts.
        trials: What the message has to respect, and where it is recorded.
        guarded: Whether a URL that `to` names is called as those of scenarios are: at public addresses only. Without
            it, whoever sends is trusted to know what may be called from this machine, as its own user is.
    """

    channels: Channels
    routes: Routes
    secrets: Mapping[str, str] = field(repr=False)
    sender: str
    trials: Trials
    to: str | None = None
    called: str = "--to"
    guarded: bool = False


async def send(draft: Draft, entry: object, given: Given, step: str, means: Means) -> Exchange:
    """Sends what one step would send to a contact.

    Args:
        draft: The scenario.
        entry: The entry, as JSON has it.
        given: The circumstances.
        step: The step's id.
        means: What it is sent with.

    Raises:
        BadInput: The step sends nothing, or what it sends cannot be rendered, or may not or cannot be sent there.
        NotConfigured: A channel, a destination or a secret is not set.
        StoreError: Suppressions cannot be asked.
    """
    identifier = f"msg_test{uuid4().hex[:28]}"

    def identify(_step: str) -> str:
        return identifier

    # Rendering may take its time, and something else may be going on here meanwhile.
    workshop = replace(given.workshop, identify=identify)
    contact, delivery, made = await asyncio.to_thread(
        _rendered, draft, entry, replace(given, workshop=workshop), step, means
    )
    if isinstance(made, Problem):
        raise BadInput(str(Places(draft.file).find(step, made)))
    if isinstance(made, Nothing):
        raise BadInput(f"there is nothing to send: {made.reason}")
    leaving = _leaving(made, draft.steps[step], delivery, means)
    rules = rules_of(draft.scenario, cast("DeliveryStep", draft.steps[step]), Policies(), leaving.channel, "")
    await means.trials.check(leaving, rules)
    began = time.perf_counter()
    match made:
        case RenderedRequest():
            seen = template_data(delivery, contact.journey, workshop.callbacks)
            message, answer = await _request(made, draft.steps[step], delivery, seen, means)
        case RenderedMail():
            message, answer = await _mail(made, delivery, means.channels.mailer)
        case RenderedText():
            message, answer = made, await _text(made, delivery, means.channels.provider)
    milliseconds = round((time.perf_counter() - began) * 1000)
    verdict = answer.verdict
    await means.trials.record(
        leaving,
        "delivered" if answer.delivered else "unknown" if verdict and verdict.unknown else "failed",
        error=verdict.reason or None if verdict else None,
        status=answer.status,
        response=answer.body,
    )
    return Exchange(id=delivery.id, contact=contact, message=message, answer=answer, milliseconds=milliseconds)


def _leaving(made: Rendered, step: BaseStep, delivery: Delivery, means: Means) -> TrialMessage:
    """Say by what and to whom a message leaves.

    Raises:
        NotConfigured: Its channel is not set.
    """
    channels = means.channels
    match made:
        case RenderedRequest():
            named = step.to if isinstance(step, Webhook) and means.to is None else None
            channel, address = WEBHOOK, ""
            destination = named or _host(means.to or made.url)
        case RenderedMail():
            if channels.mailer is None:
                raise NotConfigured(NO_MAILER)
            channel, address, destination = EMAIL, made.envelope.recipient, channels.mailer.server.host
        case RenderedText():
            if channels.provider is None:
                raise NotConfigured(NO_PROVIDER)
            channel, address, destination = SMS, made.to, channels.provider.name
    return TrialMessage(
        delivery=delivery,
        channel=channel.name,
        destination=destination,
        address=address,
        sender=means.sender,
        began=datetime.now(UTC),
    )


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _rendered(
    draft: Draft, entry: object, given: Given, step: str, means: Means
) -> tuple[Preview, Delivery, Rendered | Nothing | Problem]:
    contact = preview(draft, entry, given)
    passed = next(passed for passed in contact.steps if passed.id == step)
    if passed.delivery is None:
        raise BadInput(f"the step '{step}' sends no message")
    delivery = replace(passed.delivery, timeout=_timeout(passed.row, given.workshop.book))
    workshop = replace(given.workshop, to=means.to)
    try:
        return contact, delivery, workshop.render(draft.steps[step], delivery, contact.journey, draft.scenario)
    except BadRecipient as error:
        raise BadInput(f"{means.called} is not {_RECIPIENTS[error.word]}") from None


def _timeout(row: Row, book: Destinations | None) -> float:
    assert isinstance(row, Send)  # noqa: S101 others deliver nothing
    found = book.get(row.to) if book and row.destination else None
    return row.as_asked({}, found and found.timeout).timeout


async def _request(
    made: RenderedRequest, step: BaseStep, delivery: Delivery, data: Mapping[str, Any], means: Means
) -> tuple[RenderedRequest, Answer]:
    assert isinstance(step, Webhook)  # noqa: S101 nothing else makes a request
    now = datetime.now(UTC)
    hidden = redaction.known(tuple(means.secrets.values()))
    if means.to is not None:
        url, access, host = _place(means.to, means)
        made = replace(made, url=means.to, headers={**made.headers, **signing.headers([], delivery.id, now, made.body)})
        request = Request(made.method, url, {**made.headers, HEADER: "1"}, made.body, delivery.timeout, access)
    else:
        granted = named_secrets(step) if step.secrets else frozenset[str]()
        ready = await asyncio.to_thread(
            partial(outgoing, scenario=delivery.name, routes=means.routes, secrets=means.secrets, named=granted),
            *(step, delivery.step, data, delivery.id),
        )
        sent, route, hidden = ready.rendered, ready.route, ready.hidden
        mine = {name: value for name, value in sent.headers.items() if name in made.attempt_headers}
        made, host = replace(made, headers={**made.headers, **mine}), route.destination
        headers = {**sent.headers, HEADER: "1"}
        request = Request(sent.method, route.url, headers, sent.body, delivery.timeout, route.access, route.tls)
    shown = replace(made, headers={**made.headers, HEADER: "1"}, attempt_headers=())
    async with Transport() as transport:
        try:
            response = await transport.send(request)
        except AttemptError as error:
            return shown, Answer(delivered=False, said=_said(str(error), error.verdict), verdict=error.verdict)
    named = step.to is not None and means.to is None
    judgement = of_response(host, response.status, response.headers, response.body, named=named, now=now)
    answer = Answer(
        delivered=judgement.verdict.delivered,
        said=_said(judgement.sentence, judgement.verdict),
        verdict=judgement.verdict,
        status=response.status,
        headers={name: redaction.excerpt(value.encode(), hidden) for name, value in response.headers.items()},
        body=redaction.excerpt(response.body, hidden),
    )
    return shown, answer


def _place(named: str, means: Means) -> tuple[str, Access, str]:
    """Where a URL leads that a person names, what may be reached there, and its host.

    Raises:
        BadInput: It is not a URL that may be called.
    """
    try:
        parts = urlsplit(named)
        port = parts.port or {"http": 80}.get(parts.scheme, 443)
        if means.guarded:
            route = means.routes.find(named)
            url, access = route.url, route.access
        else:
            url, access = named, Access(allow_private=True, allow_http=True, ports=(port,))
        parse(url, access)
    except (UrlError, ValueError) as error:
        raise BadInput(f"{means.called} is not a URL that may be called: {error}") from None
    return url, access, parts.hostname or ""


def _said(sentence: str, verdict: Verdict) -> str:
    sentence = sentence.removesuffix(".")
    if sentence.startswith("The "):
        sentence = f"t{sentence[1:]}"
    return "; ".join(filter(None, (sentence, _THEN.get(verdict.outcome))))


async def _mail(made: RenderedMail, delivery: Delivery, mailer: Mailer | None) -> tuple[RenderedMail, Answer]:
    if mailer is None:
        raise NotConfigured(NO_MAILER)
    marked = f"{HEADER.title()}: 1\r\n".encode() + made.envelope.message
    made = RenderedMail(replace(made.envelope, message=marked))
    hidden = redaction.known((made.envelope.recipient, mailer.server.password))
    try:
        reply = await mailer.send(made.envelope, within=delivery.timeout)
    except MailError as error:
        words = redaction.excerpt(error.reply.encode(errors="replace"), hidden)
        verdict = error.verdict
        return made, Answer(
            delivered=False, said=_said(str(error), verdict), verdict=verdict, status=error.status, body=words
        )
    words = redaction.excerpt(reply.words.encode(errors="replace"), hidden)
    said = f"{mailer.server.host} answered {reply.status}"
    return made, Answer(delivered=True, said=said, status=reply.status, body=words)


async def _text(made: RenderedText, delivery: Delivery, provider: Provider | None) -> Answer:
    if provider is None:
        raise NotConfigured(NO_PROVIDER)
    try:
        receipt = await provider.send(TextMessage(id=delivery.id, to=made.to, body=made.text, within=delivery.timeout))
    except ProviderError as error:
        said = _said(str(error), error.verdict)
        return Answer(delivered=False, said=said, verdict=error.verdict, status=error.status, body=error.excerpt)
    return Answer(delivered=True, said=f"{provider.name} took it", status=receipt.status, body=receipt.reference)
