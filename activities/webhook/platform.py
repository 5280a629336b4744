"""Our own requests, which no scenario renders, and the activity that reports a suppressed address to a platform."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Final

from temporalio import activity

from activities.background import TELL, PlatformReply, SuppressionNotice
from activities.failures import expected
from activities.outcome import Backoff
from activities.webhook import outcome, signing
from activities.webhook.circuit_breaker import signal_of
from activities.webhook.destinations.destinations import bearer
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Request, Response
from activities.webhook.http.transport import Transport, timed
from activities.webhook.limiter import Limiter
from activities.webhook.oauth2 import AccessTokens, TokenUnavailableError
from activities.webhook.presets import PlatformRequest, SuppressionPreset, installed_presets, with_own_headers
from activities.webhook.route import Route, Routes
from runtime.derived_keys import SealedToken
from scenario.errors import NotConfigured

REJECTIONS: Final = 5  # number of rejections of an address that makes the failure terminal
_not_told = partial(expected, "PlatformNotTold")
_TIMEOUT: Final = 15.0  # seconds of a report
LONGEST_RESPONSE: Final = 4 * 1024 * 1024  # maximum bytes of a response, which may name each of ten thousand members


class CallFailed(Exception):
    """There is no response; a later call may get one. The message quotes neither a URL nor a body."""

    def __init__(self, reason: str, delay: timedelta | None = None) -> None:
        self.delay = delay  # the pause before the next call, or None for that of the retry policy
        super().__init__(reason)


class PlatformCalls:
    """Sends requests under their destination's headers, access token, signature, limits and network permissions."""

    def __init__(self, transport: Transport, secrets: Callable[[], Mapping[str, str]], limiter: Limiter) -> None:
        self._transport, self._secrets, self._limiter = transport, secrets, limiter
        self.tokens = AccessTokens(transport)

    async def call(self, route: Route, request: PlatformRequest, identifier: str, *, seconds: float) -> Response:
        """Send a request once, or raise CallFailed. A 401 replaces the access token for the next call.

        The identifier is the same in every attempt. Raise NotConfigured if a secret is missing or unusable.
        """
        secrets, named = self._secrets(), route.named
        try:
            token = await self.tokens.token(named, secrets) if named else ""
        except TokenUnavailableError as error:
            raise CallFailed(str(error), error.backoff.delay) from None
        now = datetime.now(UTC)
        own = named.rendered_headers(secrets) | bearer(token) if named else {}
        headers = with_own_headers(own, request.content_type) | signing.headers(
            named.keys(secrets, now) if named else [], identifier, now, request.body
        )
        base = named.rendered_url(secrets) if named else route.url
        url = f"{base.rstrip('/')}{request.path}"
        sent = Request(request.method, url, headers, request.body, seconds, route.access, route.tls, LONGEST_RESPONSE)
        response = await self._send(route, sent, identifier)
        if response.status == HTTPStatus.UNAUTHORIZED and named and token:
            with suppress(NotConfigured, TokenUnavailableError):
                await self.tokens.token(named, secrets, rejected=token)
        return response

    async def _send(self, route: Route, request: Request, identifier: str) -> Response:
        permit = self._limiter.enter(route.destination, route.limits, identifier)
        if isinstance(permit, Backoff):
            raise CallFailed(f"{permit.reason}: {permit.then}", permit.delay)
        with permit as passed:
            try:
                response = await timed(self._transport, route.destination, request)
            except AttemptError as error:
                passed.leave(error.pulse)
                raise CallFailed(f"{route.destination}: {error}") from None
            passed.leave(signal_of(response.status))
            return response


class SuppressionReporter:
    """Reports suppressed addresses to platforms. Without a seal, it cannot read addresses."""

    def __init__(self, calls: PlatformCalls, routes: Routes, seal: SealedToken | None) -> None:
        self._calls, self._routes, self._seal = calls, routes, seal

    @activity.defn(name=TELL.name)
    async def tell_platform(self, notice: SuppressionNotice) -> PlatformReply:
        """Report an address once. No message of a failure quotes it."""
        opened = self._seal.open_fields(notice.address) if self._seal else None
        if not opened:
            raise _not_told("the address cannot be opened: SCENARIO_SUPPRESSION_KEY is not the one it was sealed with")
        try:
            route = self._routes.named(notice.destination)
            destination = route.named
            if destination is None or destination.suppressions is None:
                raise _not_told(f"destination {notice.destination} no longer has 'suppressions'", final=True)
            name = destination.suppressions.preset
            preset = installed_presets().get(name)
            if preset is None:
                raise _not_told(f"the preset {name} of destination {notice.destination} is not installed")
            response = await self._calls.call(
                route,
                PlatformRequest("POST", preset.path(notice.channel), preset.body(opened[0])),
                (activity.info().workflow_id or "").rpartition(":")[2],  # the same in every attempt
                seconds=_TIMEOUT,
            )
        except (NotConfigured, CallFailed) as error:
            raise _not_told(str(error), delay=error.delay if isinstance(error, CallFailed) else None) from None
        return _result(notice, preset, response, opened[0])


def _result(notice: SuppressionNotice, preset: SuppressionPreset, response: Response, address: str) -> PlatformReply:
    """Classify a response. Raise the failure if the platform does not accept the address."""
    verdict, rejection = outcome.of_status(response.status), None
    if verdict.delivered or response.status == HTTPStatus.BAD_REQUEST:
        rejection = preset.rejection(response.json(), address)
    if rejection is not None:
        if rejection.duplicate:
            return PlatformReply(outcome="known", status=response.status)
        reason = f"{notice.destination} answered {response.status} and does not take it: {', '.join(rejection.codes)}"
        raise _not_told(reason, final=activity.info().attempt >= REJECTIONS)
    if verdict.delivered:
        return PlatformReply(outcome="told", status=response.status)
    raise _not_told(f"{notice.destination} answered {response.status}", final=verdict.final)
