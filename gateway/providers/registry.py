"""The configured providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pydantic import SecretStr

from activities.sms.configured import twilio_token
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Request
from activities.webhook.http.transport import Transport
from gateway.providers.brevo import Brevo
from gateway.providers.mailgun import Mailgun
from gateway.providers.postmark import Postmark
from gateway.providers.provider import NotNow, Provider
from gateway.providers.sendgrid import SendGrid
from gateway.providers.ses import Ses
from gateway.providers.sns import Fetch
from gateway.providers.twilio import TwilioStatus
from gateway.providers.whatsapp import WhatsApp
from runtime.errors import SettingsError
from runtime.settings import Settings

_SECONDS: Final = 10.0
_OK: Final = 200
_BY_SECRETS: Final[Mapping[str, Callable[[list[str]], Provider]]] = {
    "events_sendgrid": SendGrid,
    "events_mailgun": Mailgun,
    "events_postmark": Postmark,
    "events_brevo": Brevo,
}


def providers_of(settings: Settings, fetch: Fetch) -> dict[str, Provider]:
    """Return the configured providers by name. Raise SettingsError if a setting is wrong.

    Args:
        fetch: Fetches public URLs: see `fetching`.
    """
    made: list[Provider] = []
    if settings.events_ses is not None:
        made.append(Ses(_several(settings.events_ses, "events_ses"), fetch))
    for name, kind in _BY_SECRETS.items():
        secret: SecretStr | None = getattr(settings, name)
        if secret is not None:
            made.append(kind(_several(secret.get_secret_value(), name)))
    secret, token = settings.events_whatsapp, settings.events_whatsapp_verify
    if (secret is None) != (token is None):
        raise SettingsError("SCENARIO_EVENTS_WHATSAPP and SCENARIO_EVENTS_WHATSAPP_VERIFY are set together")
    if secret is not None and token is not None:
        made.append(WhatsApp(_several(secret.get_secret_value(), "events_whatsapp"), token.get_secret_value()))
    if account := twilio_token(settings.sms.get_secret_value() if settings.sms else None):
        made.append(TwilioStatus(account))
    return {provider.name: provider for provider in made}


def expects_events(settings: Settings) -> bool:
    """Return True if a provider is configured for its events alone."""
    return any(getattr(settings, name) is not None for name in (*_BY_SECRETS, "events_ses", "events_whatsapp"))


def fetching(transport: Transport) -> Fetch:
    """Return a function that fetches public URLs through the guarded transport."""

    async def fetch(url: str) -> bytes:
        try:
            response = await transport.send(Request("GET", url, timeout=_SECONDS))
        except AttemptError as error:
            raise NotNow(error.word) from None
        if response.status != _OK or not response.complete:
            raise NotNow(f"status {response.status}")
        return response.body

    return fetch


def _several(text: str, setting: str) -> list[str]:
    found = [one.strip() for one in text.split(",") if one.strip()]
    if not found:
        raise SettingsError(
            f"SCENARIO_{setting.upper()} has no value: every call would be refused. Set it, or remove it"
        )
    return found
