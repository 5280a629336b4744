"""The activity that reports a suppressed address to a platform."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.background import TELL, PlatformReply, SuppressionNotice
from activities.channel import WorkerContext
from activities.outcome import Backoff
from activities.webhook import outcome, signing
from activities.webhook.circuit_breaker import signal_of
from activities.webhook.destinations.destinations import Destination, bearer
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Request, Response
from activities.webhook.http.transport import timed
from activities.webhook.oauth2 import AccessTokens, TokenUnavailableError
from activities.webhook.presets import SuppressionPreset, installed_presets
from activities.webhook.route import Route
from runtime.derived_keys import SealedToken
from scenario.errors import NotConfigured

REJECTIONS: Final = 5
"""Number of rejections of an address that makes the failure terminal."""
_TIMEOUT: Final = 15.0  # seconds
_BAD_REQUEST: Final = 400


class SuppressionReporter:
    """Reports suppressed addresses to platforms. Without a seal, it cannot read addresses."""

    def __init__(self, context: WorkerContext, seal: SealedToken | None) -> None:
        self._context, self._seal = context, seal
        self._tokens = AccessTokens(context.transport)

    @activity.defn(name=TELL.name)
    async def tell_platform(self, notice: SuppressionNotice) -> PlatformReply:
        """Report an address once.

        Raises:
            ApplicationError: The platform was not reached, or rejects the address. No message quotes the address.
        """
        opened = self._seal.open_fields(notice.address) if self._seal else None
        if not opened:
            raise _failure("the address cannot be opened: SCENARIO_SUPPRESSION_KEY is not the one it was sealed with")
        try:
            route = self._context.routes.named(notice.destination)
            destination = route.named
            if destination is None or destination.suppressions is None:
                raise _failure(f"destination {notice.destination} no longer has 'suppressions'", final=True)
            name = destination.suppressions.preset
            preset = installed_presets().get(name)
            if preset is None:
                raise _failure(f"the preset {name} of destination {notice.destination} is not installed")
            token = await self._tokens.token(destination, self._context.secrets())
            request = self._request(route, destination, token, preset.path(notice.channel), preset.body(opened[0]))
        except NotConfigured as error:
            raise _failure(str(error)) from None
        except TokenUnavailableError as error:
            raise _failure(str(error), delay=error.backoff.delay) from None
        response = await self._send(route, request)
        if response.status == HTTPStatus.UNAUTHORIZED and token:
            with suppress(NotConfigured, TokenUnavailableError):  # for the next attempt
                await self._tokens.token(destination, self._context.secrets(), rejected=token)
        return _result(notice, preset, response, opened[0])

    def _request(self, route: Route, destination: Destination, token: str, path: str, body: bytes) -> Request:
        """Return the request, with the destination's URL, headers, access token and signature.

        Raise NotConfigured without a secret.
        """
        secrets, now = self._context.secrets(), datetime.now(UTC)
        identifier = (activity.info().workflow_id or "").rpartition("/")[2]  # the same in every attempt
        headers = {"content-type": "application/json", "accept": "application/json"}
        own = destination.rendered_headers(secrets) | bearer(token)
        taken = {name.lower() for name in own}
        headers = {name: value for name, value in headers.items() if name not in taken} | own
        headers |= signing.headers(destination.keys(secrets, now), identifier, now, body)
        url = f"{destination.rendered_url(secrets).rstrip('/')}{path}"
        return Request("POST", url, headers, body, _TIMEOUT, route.access, route.tls)

    async def _send(self, route: Route, request: Request) -> Response:
        permit = self._context.limiter.enter(route.destination, route.limits, activity.info().workflow_id or "")
        if isinstance(permit, Backoff):
            raise _failure(f"{permit.reason}: {permit.then}", delay=permit.delay)
        with permit as passed:
            try:
                response = await timed(self._context.transport, route.destination, request)
            except AttemptError as error:
                passed.leave(error.pulse)
                raise _failure(f"{route.destination}: {error}") from None
            passed.leave(signal_of(response.status))
            return response


def _result(notice: SuppressionNotice, preset: SuppressionPreset, response: Response, address: str) -> PlatformReply:
    """Classify a response. Raise the failure if the platform does not accept the address."""
    try:
        content: Any = json.loads(response.body) if response.complete else None
    except ValueError:
        content = None
    verdict, rejection = outcome.of_status(response.status), None
    if verdict.delivered or response.status == _BAD_REQUEST:
        rejection = preset.rejection(content, address)
    if rejection is not None:
        if rejection.duplicate:
            return PlatformReply(outcome="known", status=response.status)
        reason = f"{notice.destination} answered {response.status} and does not take it: {', '.join(rejection.codes)}"
        raise _failure(reason, final=activity.info().attempt >= REJECTIONS)
    if verdict.delivered:
        return PlatformReply(outcome="told", status=response.status)
    raise _failure(f"{notice.destination} answered {response.status}", final=verdict.final)


def _failure(reason: str, *, final: bool = False, delay: timedelta | None = None) -> ApplicationError:
    return ApplicationError(
        reason,
        type="PlatformNotTold",
        non_retryable=final,
        next_retry_delay=delay,
        category=ApplicationErrorCategory.BENIGN,  # expected: no stack trace in the worker's log for each
    )
