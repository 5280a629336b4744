"""A webhook as it would be sent: a pure function of the published step and its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from activities.webhook.errors import RefusedError
from activities.webhook.http.headers import authored
from scenario import liquid
from scenario.errors import TemplateError
from scenario.model.parts import File
from scenario.steps.webhook import Content, Webhook, body_fault

Made = TypeVar("Made")


@dataclass(frozen=True)
class Rendered:
    """A webhook as it would be sent, but for what belongs to the single attempt: its time, its signature, its trace.

    Attributes:
        method: HTTP method.
        url: Absolute.
        headers: Those of the scenario, and those that identify the delivery.
        body: The exact bytes.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


_TYPES: Final[Mapping[Content, str]] = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
}
"""Content types, by how a body is written."""


def render(step: Webhook, data: Mapping[str, Any], delivery_id: str, base: str | None = None) -> Rendered:
    """Render a webhook: a pure function, so that every attempt sends the same bytes.

    Args:
        step: As it was published.
        data: By root name, `now`, `today` and `secrets` among it.
        delivery_id: Goes into ``webhook-id`` and ``idempotency-key``.
        base: URL of the destination that a step with ``to`` names; without it, the URL is the rendered path alone.

    Raises:
        TemplateError: A template fails on this data, or a header may not be sent.
        Aborted: A template says that nothing should be sent.
    """
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
        body = _rendered("the body", _WRITTEN[step.content], _fitting(step.content, step.body), data)
        if not any(name.lower() == "content-type" for name in headers):
            headers["content-type"] = _TYPES[step.content]
    return Rendered(step.method, _url(step, data, base), headers, body)


def with_headers(rendered: Rendered, step: Webhook, headers: Mapping[str, str], destination: str) -> Rendered:
    """Return the webhook with its destination's headers.

    A scenario cannot set a header that its destination sets, except that the destination's content type replaces our
    default.

    Args:
        rendered: The webhook.
        step: The step, for the headers that the scenario sets.
        headers: The destination's headers.
        destination: Its name.

    Raises:
        TemplateError: Both set the same header.
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


_WRITTEN: Final[Mapping[Content, Callable[[Any, Mapping[str, Any]], bytes]]] = {
    "json": liquid.render_json,
    "form": liquid.render_form,
    "text": liquid.render_plain,
}
"""Writers of bodies, by content."""


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
