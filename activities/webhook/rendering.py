"""A webhook: rendered by a pure function, then addressed, signed, and given its secrets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from activities import redaction
from activities.webhook import signing
from activities.webhook.destinations.destinations import CredentialsError, bearer, unset
from activities.webhook.errors import RefusedError
from activities.webhook.http.exchange import authored
from activities.webhook.route import Route, Routes
from scenario import liquid
from scenario.errors import MissingVariable, TemplateError
from scenario.http.destinations import denied_secret, disowned
from scenario.liquid.engine.limits import room_for
from scenario.model.batch import CONTACTS, batch_data, item_of
from scenario.model.parts import File
from scenario.steps.webhook import Content, Webhook, body_fault

Made = TypeVar("Made")


@dataclass(frozen=True)
class Rendered:
    """A webhook as it would be sent, but for what belongs to the single attempt: its time, its signature, its trace."""

    method: str
    url: str
    headers: dict[str, str]  # those of the scenario, and those that identify the delivery
    body: bytes


def render(step: Webhook, data: Mapping[str, Any], delivery_id: str, base: str | None = None) -> Rendered:
    """Render a webhook, for attempts and previews: a pure function, so that every attempt sends the same bytes.

    Args:
        data: By root name, `now`, `today` and `secrets` among it. A batch call without `contacts` is rendered for one.
        base: URL of the destination that a step with ``to`` names; without it, the URL is the rendered path alone.
    """
    if step.batch is not None:
        if CONTACTS not in data:
            data = {**batch_data([item_of(data)], data["now"]), "secrets": data.get("secrets", {})}
        with room_for(len(data[CONTACTS])):
            return _render(step, data, delivery_id, base)
    return _render(step, data, delivery_id, base)


def _render(step: Webhook, data: Mapping[str, Any], delivery_id: str, base: str | None) -> Rendered:
    headers = {
        name: _rendered(f"the header '{name}'", liquid.render_header, value, data)
        for name, value in step.headers.items()
    }
    try:
        authored(headers)
    except RefusedError as error:
        raise TemplateError(str(error)) from None
    headers |= {"webhook-id": delivery_id, "idempotency-key": delivery_id}
    body = b""
    if step.body is not None and not isinstance(step.body, File):
        content_type, write = _BODIES[step.content]
        body = _rendered("the body", write, _fitting(step.content, step.body), data)
        if not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = content_type
    return Rendered(step.method, _url(step, data, base), headers, body)


def with_headers(rendered: Rendered, step: Webhook, headers: Mapping[str, str], destination: str) -> Rendered:
    """Return the webhook with its destination's headers. Raise TemplateError if the scenario sets one of them.

    The destination's content type only replaces our default.
    """
    added = {name.lower(): name for name in headers}
    for name in step.headers:
        if name.lower() in added:
            raise TemplateError(
                f"the scenario sets the header '{name}', which destination {destination} sets itself: "
                "remove it from the scenario"
            )
    kept = {name: value for name, value in rendered.headers.items() if name.lower() not in added}
    return Rendered(rendered.method, rendered.url, {**kept, **headers}, rendered.body)


_BODIES: Final[Mapping[Content, tuple[str, Callable[[Any, Mapping[str, Any]], bytes]]]] = {
    "json": ("application/json", liquid.render_json),
    "form": ("application/x-www-form-urlencoded", liquid.render_form),
    "text": ("text/plain; charset=utf-8", liquid.render_plain),
}
"""Content types and writers of bodies, by content."""


def _fitting(content: Content, body: str | dict[str, Any] | list[Any]) -> str | dict[str, Any] | list[Any]:
    """Return a body that fits its kind of content, as every published one does."""
    if fault := body_fault(content, body):
        raise TemplateError(fault)
    return body


def _rendered(part: str, made: Callable[[Any, Mapping[str, Any]], Made], source: Any, data: Mapping[str, Any]) -> Made:
    try:
        return made(source, data)
    except TemplateError as error:
        raise error.within(part) from None


def _url(step: Webhook, data: Mapping[str, Any], base: str | None) -> str:
    """Return the URL: the step's own, or its path behind the destination's."""
    if step.url is not None:
        return _rendered("the url", liquid.render_url, step.url, data)
    path = "" if step.path is None else _rendered("the path", liquid.render_path, step.path, data)
    return path if base is None else f"{base.rstrip('/')}{path}" if path else base


@dataclass(frozen=True)
class PreparedRequest:
    """A signed and addressed webhook."""

    rendered: Rendered
    route: Route
    hidden: redaction.KnownSecrets  # all secrets, which excerpts must not show
    given: redaction.KnownSecrets


def prepare_request(
    step: Webhook,
    name: str,
    data: Mapping[str, Any],
    delivery_id: str,
    *,
    scenario: str,
    routes: Routes,
    secrets: Mapping[str, str],
    named: frozenset[str] | None,
    token: str = "",
) -> PreparedRequest:
    """Make a webhook ready to leave. Raise NotConfigured if a secret may not be sent there; see also `render`.

    Templates see the data and the `named` secrets, or any if None. A destination may use an access `token` (RFC 6750
    §2.1).
    """
    route = None if step.to is None else routes.named(step.to)
    if route and route.named and route.named.owners is not None and scenario not in route.named.owners:
        raise CredentialsError(disowned(scenario, route.named.name))
    # Only what this step names: a template that could be made to show more would have nothing more to show.
    granted = routes.granted(step.to)
    if named is not None and granted is not None and (refused := named - granted):
        raise CredentialsError(denied_secret(min(refused), step.to))
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
        own = to.rendered_headers(secrets) | bearer(token)
        rendered = with_headers(rendered, step, own, to.name)
        keys = to.keys(secrets, now)
    templates = step.headers | dict(route.named.headers if route.named else {})
    callback = str(data.get("journey", {}).get("callback_url", "")).rpartition("/")[2]
    sent = (*redaction.credentials(templates, rendered.headers), *filter(None, (callback, token)))
    hidden = redaction.known((*secrets.values(), *sent))
    theirs = route.named.own_secrets if route.named else ()
    given = redaction.known((*seen.values(), *(value for name, value in secrets.items() if name in theirs), *sent))
    signed = rendered.headers | signing.headers(keys, delivery_id, now, rendered.body)
    return PreparedRequest(replace(rendered, headers=signed), route, hidden, given)
