"""Sends test messages for callers over HTTP, with the channels, destinations and secrets of the process."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

from activities.dependencies import INBOX, Channels, channels_of
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.route import Direct, Routes
from gateway.authoring.work import Setup, draft_of, given_in
from gateway.errors import BadInput, TooMany
from gateway.limits import RateLimit
from gateway.preview.contact import PreviewInputs
from gateway.preview.draft import Draft
from gateway.sending import Exchange, Means, Trials, send
from gateway.service.caller import Caller
from runtime.secrets import Secrets
from runtime.settings import Settings
from runtime.store import Store
from scenario.policies.policies import Policies

PER_HOUR: Final = 20
"""Maximum number of test messages of one API key in an hour, counted per process."""
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
    trials: Trials = field(default_factory=Trials)
    """The rules of test messages, and their record."""
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
        """Send what one step would send; see `gateway.sending.send`. Preview it first, which limits time and memory.

        Raise TooMany if the key has sent too many.

        Args:
            request: Scenario, entry and circumstances, as for a preview; see `gateway.authoring.work`.
            to: Another recipient. A URL must be at a public address.
        """
        if seconds := self._sent.take(caller.id):
            sentence = (
                f"this key has sent {PER_HOUR} test messages within an hour: "
                f"the next one may be sent in {math.ceil(seconds / 60)} min"
            )
            raise TooMany(sentence, seconds)
        async with self._places:
            made, given = await asyncio.to_thread(self._read, {**request, "scenarios": caller.scenarios})
            secrets = await asyncio.to_thread(self.secrets.snapshot)
            means = Means(
                channels=self.channels,
                routes=self.routes,
                secrets=secrets,
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
