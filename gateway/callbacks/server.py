"""The public routes: callbacks, unsubscribing, bounces, answers to SMS, events from providers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from starlette.applications import Starlette
from starlette.routing import Route
from temporalio.client import Client

from activities.sms.configured import twilio_token
from activities.suppressions import PlatformNotifier, Suppressor, address_seal
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.http.transport import Transport
from gateway.callbacks.app import Receiving
from gateway.callbacks.deliver import tell
from gateway.callbacks.unsubscribe import Unsubscriptions
from gateway.inbound.mail import InboundMail
from gateway.inbound.twilio import InboundTexts
from gateway.providers.app import InboundEvents, expects_events, fetching, providers_of
from gateway.providers.effects import ProviderEffects
from gateway.service.caller import TERMINAL
from gateway.service.services import Services
from runtime.derived_keys import AddressHashes, suppression_keys
from runtime.errors import SettingsError
from runtime.public_links import Callbacks, ReturnPaths, Unsubscribing
from runtime.settings import Settings
from runtime.store import Store
from scenario.source.findings import listed

logger = logging.getLogger("gateway")


def application(callbacks: Callbacks, temporal: Client, more: Sequence[Route] = ()) -> Starlette:
    """Return the public gateway of one namespace. For `more` see `routes_of`."""
    return Receiving(callbacks, partial(tell, temporal), more=more).application


def routes_of(
    settings: Settings, temporal: Client, store: Store, destinations: DestinationsFile, transport: Transport
) -> dict[str, list[Route]]:
    """Return the routes for suppressions and events from providers, by purpose.

    The client is for journeys and for reports to the platform; the transport fetches certificates of providers. Raise
    SettingsError if a required setting is missing.
    """
    unsubscribing, hashes = Unsubscribing.configured(settings), AddressHashes.configured(settings)
    paths = ReturnPaths.configured(settings)
    if settings.inbound_key is not None and paths is None:
        raise SettingsError("SCENARIO_INBOUND_KEY needs SCENARIO_BOUNCE_ADDRESS: set it here, as for the workers")
    if unsubscribing is None or hashes is None or settings.callback_url is None:
        if expects_events(settings):
            raise SettingsError(
                "SCENARIO_EVENTS_… need SCENARIO_CALLBACK_URL and SCENARIO_SUPPRESSION_KEY: set them here, as for the "
                "workers"
            )
        return {}
    seal = address_seal(suppression_keys(settings))
    notifier = PlatformNotifier(temporal, seal, lambda: destinations.book, shards=settings.queue_shards)
    suppressor = Suppressor(store, hashes, notifier)
    services = Services(temporal, store)
    report = partial(services.events.report, TERMINAL)
    made = {"unsubscribing": Unsubscriptions(unsubscribing, suppressor, report).routes}
    if paths is not None and settings.inbound_key is not None:
        made["bounces"] = InboundMail(paths, suppressor, settings.inbound_key.get_secret_value().strip()).routes
    if token := twilio_token(settings.sms.get_secret_value() if settings.sms else None):
        made["answers to SMS"] = InboundTexts(settings.callback_url, token, suppressor, store, hashes).routes
    if providers := providers_of(settings, fetching(transport)):
        effects = ProviderEffects(store, suppressor, services.events, services.scenarios.content)
        made[f"events from {listed(providers, 'and')}"] = InboundEvents(
            settings.callback_url, providers, effects
        ).routes
    return made
