"""Sends one message of a scenario as a test, by the channels' own code and without a journey.

Its webhook or e-mail has a header for tests, and its delivery id begins with ``msg_test``. It respects suppressions and
SCENARIO_TEST_RECIPIENTS, and is recorded as an attempt of no journey, which statistics, caps and journeys do not count.
Nothing is retried.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Self
from uuid import uuid4

from activities.channel import BadDestination, RenderedMessage, SendContext, TestReply, adapter
from activities.channel_registry import EMAIL
from activities.dependencies import INBOX, Channels, channels_of
from activities.evaluation import template_data
from activities.interface import Delivery
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.route import Direct, Routes
from authoring.errors import BadInput
from authoring.preview.contact import Preview, PreviewInputs, preview
from authoring.preview.draft import Draft
from authoring.preview.rendering import NothingToSend, RenderProblem, Result, TemplateLocator
from runtime.derived_keys import AddressHashes
from runtime.secrets import Secrets
from runtime.settings import Settings
from runtime.store import Attempt, Store, StoreError
from scenario.errors import BadRecipient, NotConfigured
from scenario.policies.order import Rules, rules_of, stopped
from scenario.policies.policies import Policies
from scenario.steps.delivery import DeliveryStep, Send
from scenario.steps.registry import canonical_address, suppressible_channels
from service.authoring_process import Setup, draft_of, given_in
from service.caller import Caller
from service.concurrency import RateLimit
from service.errors import TooMany

logger = logging.getLogger("gateway")


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The rules that test messages respect, and their record. A recipient's address is neither recorded nor logged."""

    store: Store | None = None  # suppressions and the log of attempts, or None to record nothing
    hashes: AddressHashes | None = None  # the keys of addresses, or None if suppressions are not configured
    recipients: str | None = None  # the setting SCENARIO_TEST_RECIPIENTS. None: all recipients are allowed.

    async def check(self, attempt: Attempt, address: str, rules: Rules) -> None:
        """Raise BadInput if a message of a step may not go to its recipient. A suppressed one is recorded.

        `address` is empty for webhooks.
        """
        if self.recipients is not None and not is_allowed(attempt, address, self.recipients):
            raise BadInput(
                "this server allows test messages to the recipients in SCENARIO_TEST_RECIPIENTS only, and this one is "
                "not among them: send it to one of those instead"
            )
        if self.store is None or self.hashes is None or not address:
            return
        found = await self.store.suppressed(attempt.channel, self.hashes.of(attempt.channel, address))
        if (stopping := stopped(attempt.channel, rules, found)) is not None:
            await self.record(replace(attempt, outcome="skipped", error="suppressed"))
            raise BadInput(f"nothing was sent: {stopping.words}")

    async def record(self, attempt: Attempt) -> None:
        """Record an attempt with the masked beginning of its response. If the store is unavailable, only log that."""
        if self.store is None:
            return
        try:
            await self.store.record([attempt])
        except StoreError as trouble:
            logger.warning("the test message %s is not in the log of attempts: %s", attempt.delivery_id, trouble)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A message that was sent, and the response."""

    id: str
    contact: Preview  # the preview of the scenario for the contact
    message: RenderedMessage  # the message, with names of secrets instead of their values
    answer: TestReply
    milliseconds: int


@dataclass(frozen=True, kw_only=True)
class Means:
    """The connections, secrets and options for sending a test message."""

    channels: Channels
    routes: Routes
    secrets: Mapping[str, str] = field(repr=False)
    sender: str  # the key or person that sends it, for the log of attempts
    trials: Trials  # the rules of test messages, and their record
    to: str | None = None  # another recipient: a URL, to which no secret is sent, an e-mail address, or a number
    called: str = "--to"  # the name of `to` in messages
    guarded: bool = False
    """True if a URL in `to` must have a public address. False trusts the sender with this machine's network."""


async def send(draft: Draft, entry: object, given: PreviewInputs, step: str, means: Means) -> Exchange:
    """Send what one step would send to a contact.

    Raises:
        BadInput: The step sends nothing, or what it sends cannot be rendered, or may not or cannot be sent there.
        NotConfigured: A channel, a destination or a secret is not set.
        StoreError: Suppressions cannot be read.
    """
    identifier = f"msg_test{uuid4().hex[:28]}"

    def identify(_step: str) -> str:
        return identifier

    given = replace(given, renderer=replace(given.renderer, identify=identify))
    # Rendering may take seconds, and must not block other requests.
    contact, delivery, made = await asyncio.to_thread(_rendered, draft, entry, given, step, means)
    if isinstance(made, RenderProblem):
        raise BadInput(str(TemplateLocator(draft.file).find(step, made)))
    if isinstance(made, NothingToSend):
        raise BadInput(f"there is nothing to send: {made.reason}")
    step_model = draft.steps[step]
    assert isinstance(step_model, DeliveryStep)  # noqa: S101 checked by `_rendered`
    channel = adapter(step_model.channel)
    connection = means.channels.connection(step_model.channel)
    if connection is None and channel.setting:
        raise NotConfigured(channel.not_configured)
    context = SendContext(
        message=made,
        step=step_model,
        delivery=delivery,
        data=template_data(delivery, contact.journey, given.renderer.callbacks),
        connection=connection,
        routes=means.routes,
        secrets=means.secrets,
        to=means.to,
        guarded=means.guarded,
    )
    attempt = Attempt(
        delivery_id=delivery.id,
        attempt=1,
        workflow_id="",
        run_id="",
        scenario=delivery.name,
        version=delivery.version,
        step=delivery.step,
        channel=step_model.channel,
        destination=channel.destination(context),
        contact_id=delivery.contact,
        started_at=datetime.now(UTC),
        milliseconds=0,
        outcome="unknown",
        test_by=means.sender,
    )
    rules = rules_of(draft.scenario, step_model, Policies(), attempt.channel, "")
    await means.trials.check(attempt, made.address, rules)
    began = time.perf_counter()
    try:
        message, answer = await channel.send(context)
    except BadDestination as error:
        raise BadInput(f"{means.called} is not a URL that may be called: {error}") from None
    milliseconds = round((time.perf_counter() - began) * 1000)
    verdict = answer.verdict
    ended = replace(
        attempt,
        milliseconds=milliseconds,
        outcome="delivered" if answer.delivered else "unknown" if verdict and verdict.unknown else "failed",
        error=verdict.reason or None if verdict else None,
        status=answer.status,
        response=answer.body or None,
    )
    await means.trials.record(ended)
    return Exchange(id=delivery.id, contact=contact, message=message, answer=answer, milliseconds=milliseconds)


def _rendered(
    draft: Draft, entry: object, given: PreviewInputs, step: str, means: Means
) -> tuple[Preview, Delivery, Result]:
    contact = preview(draft, entry, given)
    passed = next(passed for passed in contact.steps if passed.id == step)
    row, book = passed.row, given.renderer.book
    if passed.delivery is None or not isinstance(row, Send):  # others deliver nothing
        raise BadInput(f"the step '{step}' sends no message")
    found = book.get(row.to) if book and row.destination else None
    delivery = replace(passed.delivery, timeout=row.as_asked({}, found and found.timeout).timeout)
    renderer = replace(given.renderer, to=means.to)
    try:
        return contact, delivery, renderer.render(draft.steps[step], delivery, contact.journey, draft.scenario)
    except BadRecipient:
        raise BadInput(f"{means.called} is not {adapter(row.channel).recipient}") from None


def is_allowed(attempt: Attempt, address: str, recipients: str) -> bool:
    """Return True if the setting SCENARIO_TEST_RECIPIENTS includes a message's recipient."""
    allowed = {spelling for text in recipients.split(",") for spelling in _spellings(text.strip())}
    if not address:
        return attempt.destination.casefold() in allowed
    address = canonical_address(attempt.channel, address)
    return bool({address, _domain(address)} & allowed)


def _domain(address: str) -> str:
    return f"@{address.rpartition('@')[2]}"


def _spellings(text: str) -> Iterator[str]:
    if text.startswith("@"):
        with suppress(BadRecipient):
            yield _domain(canonical_address(EMAIL.name, f"anybody{text}"))
        return
    yield text.casefold()
    for channel in suppressible_channels():
        with suppress(BadRecipient):
            yield canonical_address(channel, text)


PER_HOUR: Final = 20  # maximum number of test messages of one API key in an hour, counted per process
_AT_ONCE: Final = 4
_CLOSING: Final = 2.0  # seconds for mail servers to answer QUIT


@dataclass(frozen=True)
class Outbox:
    """Sends test messages."""

    setup: Setup
    channels: Channels
    routes: Routes
    secrets: Secrets = field(repr=False)
    book: DestinationsFile | None = None
    trials: Trials = field(default_factory=Trials)  # the rules of test messages, and their record
    _sent: RateLimit = field(default_factory=lambda: RateLimit(PER_HOUR, 3600.0), repr=False)
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE), repr=False)

    @classmethod
    @asynccontextmanager
    async def configured(cls, settings: Settings, book: DestinationsFile, store: Store) -> AsyncGenerator[Self]:
        """Open an outbox as configured. Raise SettingsError if a channel's setting is wrong."""
        channels = channels_of(settings, INBOX)
        known = book if book.configured else None
        try:
            trials = Trials(store=store, hashes=channels.hashes, recipients=settings.test_recipients)
            yield cls(Setup.of(settings), channels, Direct(book), Secrets(settings), known, trials)
        finally:
            await channels.close(_CLOSING)

    async def send(self, caller: Caller, request: Mapping[str, Any], step: str, to: str | None = None) -> Exchange:
        """Send what one step would send; see `service.sending.send`. Preview it first, which limits time and memory.

        Raise TooMany if the key has sent too many.

        Args:
            request: Scenario, entry and circumstances, as for a preview; see `service.authoring_process`.
            to: Another recipient. A URL must be at a public address.
        """
        if seconds := self._sent.take(caller.id):
            wait = f"the next one may be sent in {math.ceil(seconds / 60)} min"
            raise TooMany(f"this key has sent {PER_HOUR} test messages within an hour: {wait}", seconds)
        async with self._places:
            made, given = await asyncio.to_thread(self._read, {**request, "scenarios": caller.scenarios})
            means = Means(
                channels=self.channels,
                routes=self.routes,
                secrets=await asyncio.to_thread(self.secrets.snapshot),
                sender=caller.name,
                trials=self.trials,
                to=to,
                called="the address it is sent to instead",
                guarded=True,
            )
            return await send(made, request["entry"], given, step, means)

    def _read(self, request: Mapping[str, Any]) -> tuple[Draft, PreviewInputs]:
        book: Destinations | None = self.book.book if self.book else None
        made, _ = draft_of(request, book, Policies())
        if made is None:
            raise BadInput("the scenario has mistakes: preview it to see them")
        return made, given_in(request, self.setup, book, Policies())
