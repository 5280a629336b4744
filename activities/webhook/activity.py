"""The activity that sends a webhook: renders it, sends it once, and tells Temporal what that means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from temporalio import activity

from activities import redaction
from activities.attempt import OpenAttempt
from activities.attempt_log import Log
from activities.channel_activity import ChannelActivity
from activities.content import Content
from activities.context import Addresses
from activities.interface import WEBHOOK, Delivery, Sent
from activities.permission import Gate
from activities.webhook import signing
from activities.webhook.destinations.destinations import CredentialsError, unset
from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Response
from activities.webhook.http.transport import Transport
from activities.webhook.rendering import Rendered, render, with_headers
from activities.webhook.result import judge, unanswered
from activities.webhook.route import Direct, Route, Routes
from activities.webhook.span import exchange
from activities.webhook.throttle import health
from activities.webhook.throttle.limiter import Limiter
from scenario.errors import MissingVariable
from scenario.http.destinations import denied
from scenario.steps.webhook import Webhook


@dataclass(frozen=True)
class _Outgoing:
    """A webhook, signed and addressed, and what nobody may see when it is sent back.

    Attributes:
        hidden: All secrets.
        given: What the receiver was given of them.
    """

    step: Webhook
    rendered: Rendered
    route: Route
    hidden: redaction.KnownSecrets
    given: redaction.KnownSecrets


class Webhooks(ChannelActivity[Transport]):
    """The webhook channel. See `ChannelActivity` for what is not said here.

    Args:
        transport: Sends requests; open for as long as the worker runs.
        secrets: Gives all secrets, as they are at the moment: the same mapping for as long as they are the same.
        routes: Where URLs and destinations lead.
        limiter: Says whether a destination can take a request now; one for the whole process.
    """

    channel = WEBHOOK

    def __init__(
        self,
        content: Content,
        transport: Transport,
        secrets: Callable[[], Mapping[str, str]],
        log: Log,
        routes: Routes | None = None,
        callbacks: Addresses | None = None,
        limiter: Limiter | None = None,
        gates: Sequence[Gate] = (),
    ) -> None:
        super().__init__(content, transport, log, callbacks, gates)
        self._secrets = secrets
        self._routes = routes or Direct()
        self._limiter = Limiter() if limiter is None else limiter  # an empty one is false

    @activity.defn(name=WEBHOOK.activity)
    async def send_webhook(self, delivery: Delivery) -> Sent:
        """Makes one attempt.

        Returns:
            ``delivered`` for a 2xx, or ``skipped`` where a template aborted.

        Raises:
            ApplicationError: Anything else; see `activities.failures`.
        """
        with self.attempt(delivery, unrendered="The webhook cannot be rendered: ") as attempt:
            outgoing = await self._compose(attempt, self._secrets())
            await attempt.may_leave()
            response = await self._send(attempt, outgoing)
            judge(attempt, response, outgoing.step, outgoing.hidden, outgoing.given)
        return attempt.sent

    async def _compose(self, attempt: OpenAttempt, secrets: Mapping[str, str]) -> _Outgoing:
        """Renders, addresses and signs a webhook. Secrets come in here, and leave with the request alone."""
        delivery = attempt.delivery
        step = await self._content.step_of(delivery, Webhook, "a webhook")
        if step.to is not None:
            attempt.destination = step.to
        route = None if step.to is None else self._routes.named(step.to)
        # Only what this step names: a template that could be made to show more would have nothing more to show.
        named = await self._content.secrets(delivery.name, delivery.version, delivery.step)
        granted = self._routes.granted(step.to)
        if named is not None and granted is not None and (refused := named - granted):
            raise CredentialsError(denied(min(refused), step.to))
        wanted = named if named is not None else frozenset(secrets) if granted is None else granted
        seen = {name: value for name in wanted if (value := secrets.get(name))}  # an empty one is not set
        data = self.data(delivery) | {"secrets": seen}
        try:
            base = route.named.rendered_url(secrets) if route and route.named else route and route.url
            rendered = render(step, data, delivery.id, base=base)
        except MissingVariable as error:
            match error.path:
                # A name that the step does not spell out may be a contact's.
                case ("secrets", str(secret), *_) if named is not None and secret in named - seen.keys():
                    raise unset(f"step '{delivery.step}'", secret) from None
                case _:
                    raise
        route = replace(route, url=rendered.url) if route else self._routes.find(rendered.url)
        attempt.destination = route.destination
        keys: list[signing.Key] = []
        now = datetime.now(UTC)
        if to := route.named:
            rendered = with_headers(rendered, step, to.rendered_headers(secrets), to.name)
            keys = to.keys(secrets, now)
        templates = step.headers | dict(route.named.headers if route.named else {})
        sent = tuple(redaction.credentials(templates, rendered.headers))
        hidden = redaction.known((*secrets.values(), *sent))
        theirs = route.named.own_secrets if route.named else ()
        given = redaction.known((*seen.values(), *(value for name, value in secrets.items() if name in theirs), *sent))
        signed = rendered.headers | signing.headers(keys, delivery.id, now, rendered.body)
        return _Outgoing(step, replace(rendered, headers=signed), route, hidden, given)

    async def _send(self, attempt: OpenAttempt, outgoing: _Outgoing) -> Response:
        """Sends it where the limiter lets it; tells that how the receiver looked.

        Raises:
            ApplicationError: It was turned away, or there is no response.
        """
        route = outgoing.route
        with attempt.permitted(self._limiter.enter(route.destination, route.limits, attempt.delivery.id)) as passed:
            try:
                response = await exchange(self._way, attempt, outgoing.rendered, route)
            except AttemptError as error:
                passed.leave(error.pulse)
                raise unanswered(attempt, error) from None
            passed.leave(health.of_status(response.status))
            return response
