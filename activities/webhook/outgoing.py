"""Prepares a webhook for sending: rendered, addressed, signed, with secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from activities import redaction
from activities.webhook import signing
from activities.webhook.destinations.destinations import CredentialsError, unset
from activities.webhook.rendering import Rendered, render, with_headers
from activities.webhook.route import Route, Routes
from scenario.errors import MissingVariable
from scenario.http.destinations import denied, disowned
from scenario.steps.webhook import Webhook


@dataclass(frozen=True)
class Outgoing:
    """A signed and addressed webhook.

    Attributes:
        rendered: The request.
        route: Its route.
        hidden: All secrets, which excerpts must not show.
        given: Secrets of this request.
    """

    rendered: Rendered
    route: Route
    hidden: redaction.KnownSecrets
    given: redaction.KnownSecrets


def outgoing(
    step: Webhook,
    name: str,
    data: Mapping[str, Any],
    delivery_id: str,
    *,
    scenario: str,
    routes: Routes,
    secrets: Mapping[str, str],
    named: frozenset[str] | None,
) -> Outgoing:
    """Make a webhook ready to leave.

    Args:
        step: As it was published.
        name: Its id.
        data: What its templates see, without secrets.
        delivery_id: Of the delivery.
        scenario: The scenario's name.
        routes: Where URLs and destinations lead.
        secrets: All there are.
        named: The names of those that the step's templates may read, or None if any may be meant.

    Raises:
        NotConfigured: A destination or a secret is not there, or may not be sent there.
        TemplateError: It cannot be rendered.
        Aborted: A template says that nothing should be sent.
    """
    route = None if step.to is None else routes.named(step.to)
    if route and route.named and route.named.owners is not None and scenario not in route.named.owners:
        raise CredentialsError(disowned(scenario, route.named.name))
    # Only what this step names: a template that could be made to show more would have nothing more to show.
    granted = routes.granted(step.to)
    if named is not None and granted is not None and (refused := named - granted):
        raise CredentialsError(denied(min(refused), step.to))
    wanted = named if named is not None else frozenset(secrets) if granted is None else granted
    seen = {name: value for name in wanted if (value := secrets.get(name))}  # an empty one is not set
    try:
        base = route.named.rendered_url(secrets) if route and route.named else route and route.url
        rendered = render(step, {**data, "secrets": seen}, delivery_id, base=base)
    except MissingVariable as error:
        match error.path:
            # A name that the step does not spell out may be a contact's.
            case ("secrets", str(secret), *_) if named is not None and secret in named - seen.keys():
                raise unset(f"step '{name}'", secret) from None
            case _:
                raise
    route = replace(route, url=rendered.url) if route else routes.find(rendered.url)
    keys: list[signing.Key] = []
    now = datetime.now(UTC)
    if to := route.named:
        rendered = with_headers(rendered, step, to.rendered_headers(secrets), to.name)
        keys = to.keys(secrets, now)
    templates = step.headers | dict(route.named.headers if route.named else {})
    token = str(data.get("journey", {}).get("callback_url", "")).rpartition("/")[2]
    sent = (*redaction.credentials(templates, rendered.headers), *([token] if token else ()))
    hidden = redaction.known((*secrets.values(), *sent))
    theirs = route.named.own_secrets if route.named else ()
    given = redaction.known((*seen.values(), *(value for name, value in secrets.items() if name in theirs), *sent))
    signed = rendered.headers | signing.headers(keys, delivery_id, now, rendered.body)
    return Outgoing(replace(rendered, headers=signed), route, hidden, given)
