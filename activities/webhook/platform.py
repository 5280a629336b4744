"""The activity that tells a platform of a suppressed address, in the platform's own way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, cast

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.interface import SMS
from activities.permission import NotYet
from activities.platform import TELL, Answered, News
from activities.webhook import outcome, signing
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Request, Response
from activities.webhook.http.transport import Transport
from activities.webhook.route import Route, Routes
from activities.webhook.span import timed
from activities.webhook.throttle import health
from activities.webhook.throttle.limiter import Limiter
from runtime.seal import Seal
from scenario.errors import NotConfigured

REFUSALS: Final = 5
"""So often an address that the platform does not take is offered, before that is a failure for good."""
_SECONDS: Final = 15.0
_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_BAD_REQUEST: Final = 400


class Failures(NamedTuple):
    """What the platform says that it did not take.

    Attributes:
        known: Whether all of it only is nothing new.
        words: Its keys for the errors; never its sentences, which quote addresses.
    """

    known: bool
    words: tuple[str, ...]


class Splio:
    """Splio's blacklist: ``POST /data/blacklists/{email|cellphone}`` with ``{"data": [touchpoint]}``.

    It answers 200, 207 (some were taken) or 400 (none was) with ``successes`` and ``failures[{touchpoint, error,
    error_key}]``. It knows no lists: an address is on it or is not.
    """

    _KNOWN: Final = "touchpoint_already_exist"

    @staticmethod
    def path(channel: str) -> str:
        """Behind the destination's URL."""
        return f"/data/blacklists/{'cellphone' if channel == SMS.name else channel}"

    @staticmethod
    def body(address: str) -> bytes:
        """Of the request."""
        return json.dumps({"data": [address]}, ensure_ascii=False).encode()

    @classmethod
    def failures(cls, content: Any, address: str) -> Failures | None:
        """What an answer's JSON says was not taken; None where the address was, or nothing is said of it."""
        answer = cast("dict[str, Any]", content) if isinstance(content, dict) else {}
        given: Any = answer.get("failures")
        taken: Any = answer.get("successes")
        if not isinstance(given, list) or not given or (isinstance(taken, list) and address in taken):
            return None
        listed = cast("list[Any]", given)
        keys = [str(cast("dict[str, Any]", one).get("error_key")) if isinstance(one, dict) else "" for one in listed]
        words = tuple(sorted({key if _WORD.fullmatch(key) else "unknown" for key in keys}))
        return Failures(words == (cls._KNOWN,), words)


PRESETS: Final = {"splio": Splio}
"""The ways of platforms, by their names in `destinations.yaml`."""


class Platforms:
    """Tells platforms.

    Args:
        transport: Sends requests.
        routes: Where destinations lead.
        secrets: Gives all secrets, as they are at the moment.
        limiter: That of the process's webhooks.
        seal: Opens addresses; None where no key is set.
    """

    def __init__(
        self,
        transport: Transport,
        routes: Routes,
        secrets: Callable[[], Mapping[str, str]],
        limiter: Limiter,
        seal: Seal | None,
    ) -> None:
        self._transport, self._routes, self._secrets = transport, routes, secrets
        self._limiter, self._seal = limiter, seal

    @activity.defn(name=TELL.name)
    async def tell_platform(self, news: News) -> Answered:
        """Tells a platform once.

        Raises:
            ApplicationError: It has not heard, or does not take it. No message quotes the address.
        """
        opened = self._seal.open(news.address) if self._seal else None
        if not opened:
            raise _failure("the address cannot be opened: SCENARIO_SUPPRESSION_KEY is not the one it was sealed with")
        try:
            route = self._routes.named(news.destination)
            wanted = route.named.suppressions if route.named else None
            if wanted is None:
                raise _failure(f"destination {news.destination} has no 'suppressions' any more", final=True)
            preset = PRESETS[wanted.preset]
            request = self._request(route, preset.path(news.channel), preset.body(opened[0]))
        except NotConfigured as error:
            raise _failure(str(error)) from None
        response = await self._send(route, request)
        return _judged(news, preset, response, opened[0])

    def _request(self, route: Route, path: str, body: bytes) -> Request:
        """The request, with what the destination adds.

        Raises:
            NotConfigured: A secret is missing.
        """
        secrets, now = self._secrets(), datetime.now(UTC)
        identifier = (activity.info().workflow_id or "").rpartition("/")[2]  # the same in every attempt
        base, headers = route.url, {"content-type": "application/json", "accept": "application/json"}
        if route.named is not None:
            base = route.named.rendered_url(secrets)
            own = route.named.rendered_headers(secrets)
            keys = route.named.keys(secrets, now)
            taken = {name.lower() for name in own}
            headers = {name: value for name, value in headers.items() if name not in taken} | own
            headers |= signing.headers(keys, identifier, now, body)
        return Request("POST", f"{base.rstrip('/')}{path}", headers, body, _SECONDS, route.access, route.tls)

    async def _send(self, route: Route, request: Request) -> Response:
        permit = self._limiter.enter(route.destination, route.limits, activity.info().workflow_id or "")
        if isinstance(permit, NotYet):
            raise _failure(f"{permit.since}: {permit.then}", delay=permit.delay)
        with permit as passed:
            try:
                response = await timed(self._transport, route.destination, request)
            except AttemptError as error:
                passed.leave(error.pulse)
                raise _failure(f"{route.destination}: {error}") from None
            passed.leave(health.of_status(response.status))
            return response


def _judged(news: News, preset: type[Splio], response: Response, address: str) -> Answered:
    """What an answer means.

    Raises:
        ApplicationError: The platform has not taken the address.
    """
    try:
        content: Any = json.loads(response.body) if response.complete else None
    except ValueError:
        content = None
    verdict, failures = outcome.of_status(response.status), None
    if verdict.delivered or response.status == _BAD_REQUEST:
        failures = preset.failures(content, address)
    if failures is not None:
        if failures.known:
            return Answered(outcome="known", status=response.status)
        said = f"{news.destination} answered {response.status} and does not take it: {', '.join(failures.words)}"
        raise _failure(said, final=activity.info().attempt >= REFUSALS)
    if verdict.delivered:
        return Answered(outcome="told", status=response.status)
    raise _failure(f"{news.destination} answered {response.status}", final=verdict.final)


def _failure(reason: str, *, final: bool = False, delay: timedelta | None = None) -> ApplicationError:
    return ApplicationError(
        reason,
        type="PlatformNotTold",
        non_retryable=final,
        next_retry_delay=delay,
        category=ApplicationErrorCategory.BENIGN,  # expected: no stack trace in the worker's log for each
    )
