"""``POST /inbound/events/{provider}``: events about our messages, from the configured providers.

There is no API key: each call carries the provider's own proof. A proven call is answered with 204, also if it has no
effect: the provider then does not repeat it, and the answer does not tell which deliveries exist. The answer 503 asks
for a repetition. The log names deliveries, never an address or a link.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from activities.sms.configured import twilio_token
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Request as ProviderRequest
from activities.webhook.http.transport import Transport
from gateway.providers.effects import ProviderEffects, Unfinished
from gateway.providers.email import Brevo, Mailgun, Postmark, SendGrid
from gateway.providers.provider import Call, Forged, NotNow, Provider, Unreadable
from gateway.providers.ses import Fetch, Ses
from gateway.providers.texts import TwilioStatus, WhatsApp
from gateway.public_calls import read_body, refusal, shortly
from runtime.errors import SettingsError
from runtime.public_links import PROVIDER_PATH
from runtime.settings import Settings
from runtime.store import StoreError
from runtime.telemetry.metrics import PROVIDER_EVENTS

logger = logging.getLogger(__name__)
MAX_BODY: Final = 4 * 1024 * 1024  # maximum bytes of a call. SendGrid's have some hundred KB, WhatsApp's 3 MB at most
PATIENCE: Final = 10.0  # seconds for a call to arrive
_AGAIN: Final = {"retry-after": "60"}


class InboundEvents:
    """The routes. Some signatures include the gateway's public URL, given without the path."""

    def __init__(self, url: str, providers: Mapping[str, Provider], effects: ProviderEffects) -> None:
        self._url, self._providers, self._effects = url.rstrip("/"), providers, effects

    @property
    def routes(self) -> list[Route]:
        path = f"{PROVIDER_PATH}{{provider}}"
        return [Route(path, self._take, methods=["POST"]), Route(path, self._verify, methods=["GET"])]

    async def _take(self, request: Request) -> Response:
        name = str(request.path_params["provider"])
        if (provider := self._providers.get(name)) is None:
            return refusal(404, "there is nothing here")
        body = await read_body(request, MAX_BODY, patience=PATIENCE, names=("the call", "a call"))
        query = f"?{request.url.query}" if request.url.query else ""
        headers = {key.lower(): value for key, value in request.headers.items()}
        call = Call(f"{self._url}{PROVIDER_PATH}{name}{query}", headers, body)
        try:
            await self._effects.take(name, await provider.read(call))
        except Forged:
            PROVIDER_EVENTS.add(name, None, "forged")
            return refusal(403, f"this does not prove that it comes from {name}")
        except Unreadable as error:
            logger.warning("a call from %s cannot be read: %s", name, error)
            return refusal(400, str(error))
        except (NotNow, Unfinished, StoreError) as error:
            logger.warning("events from %s cannot be taken now: %s", name, shortly(error))
            return refusal(503, "the events cannot be taken now", _AGAIN)
        return Response(status_code=204)

    async def _verify(self, request: Request) -> Response:
        provider = self._providers.get(str(request.path_params["provider"]))
        if not isinstance(provider, WhatsApp):
            return refusal(404, "there is nothing here")
        try:
            return PlainTextResponse(provider.answer(request.query_params))
        except Forged:
            return refusal(403, "this is not the token of SCENARIO_EVENTS_WHATSAPP_VERIFY")


_SECONDS: Final = 10.0
_OK: Final = 200
_BY_SECRETS: Final[Mapping[str, Callable[[list[str]], Provider]]] = {
    "events_sendgrid": SendGrid,
    "events_mailgun": Mailgun,
    "events_postmark": Postmark,
    "events_brevo": Brevo,
}


def providers_of(settings: Settings, fetch: Fetch) -> dict[str, Provider]:
    """Return the configured providers by name; `fetch`: see `fetching`. Raise SettingsError if a setting is wrong."""
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
            response = await transport.send(ProviderRequest("GET", url, timeout=_SECONDS))
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
