"""Bodies of webhooks: JSON, written as text or as a structure, forms, and plain text."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any, cast

from scenario.errors import TemplateError
from scenario.liquid.engine.environment import json_engine, strict_engine
from scenario.liquid.engine.errors import mistake
from scenario.liquid.engine.limits import MAX_BODY
from scenario.liquid.engine.sink import Sink
from scenario.liquid.engine.values import clean
from scenario.liquid.sinks import json_text, structured
from scenario.liquid.sinks.text import render


def render_json(body: str | Mapping[str, Any] | list[Any], data: Mapping[str, Any]) -> bytes:
    """A JSON body.

    Args:
        body: JSON text with Liquid in it, or a structure with Liquid in its leaves (see ``structured``).
        data: The variables; one that is missing is a mistake.

    Returns:
        Valid JSON in UTF-8: compact from a structure, laid out as written from a text.

    Raises:
        TemplateError: The body is malformed, a variable is missing, what a text renders to is not JSON, or a key that
            data write is equal to another of its object.
        LimitExceeded: The body is larger than ``MAX_BODY``, or takes too many steps.
        Aborted: The template says that nothing is to be sent.
    """
    if not isinstance(body, str):
        return structured.render_structured(body, data)
    sink = json_text.JsonSink()
    template = render(json_engine, body, data, sink)
    rendered = json_text.finished(sink, body)
    if template.written_keys:
        json_text.refuse_twins(rendered, sink, body)
    return rendered


def render_plain(body: str, data: Mapping[str, Any]) -> bytes:
    """A body that is neither JSON nor a form: the text itself in UTF-8, nothing escaped.

    Args:
        body: The template.
        data: The variables; one that is missing is a mistake.

    Raises:
        TemplateError: The body is malformed, or a variable is missing.
        LimitExceeded: The body is larger than ``MAX_BODY``.
        Aborted: The template says that nothing is to be sent.
    """
    sink = Sink()
    render(strict_engine, body, data, sink)
    return json_text.encoded(sink.getvalue(), body)


def render_form(body: Mapping[str, Any], data: Mapping[str, Any]) -> bytes:
    """A form, as HTML's forms are sent (``application/x-www-form-urlencoded``).

    Args:
        body: Field names and values, with Liquid in both. A list repeats its field; nothing is an empty value.
        data: The variables; one that is missing is a mistake.

    Raises:
        TemplateError: The body is malformed, a variable is missing, or a value is a mapping.
        LimitExceeded: The body is larger than ``MAX_BODY``.
        Aborted: The template says that nothing is to be sent.
    """
    rendered: Any = json.loads(clean(structured.compiled(body).text(data)))
    if not isinstance(rendered, dict):
        raise TemplateError("a form is a mapping of field names to values")
    pairs: list[tuple[str, str]] = []
    for name, value in cast("dict[str, Any]", rendered).items():
        for item in cast("list[Any]", value) if isinstance(value, list) else [value]:
            if isinstance(item, dict | list):
                reason = "a form's value is a text, a number or a list of these: for JSON in a text, '| json | string'"
                raise mistake(reason, "", None, at=name)
            pairs.append((name, item if isinstance(item, str) else "" if item is None else json.dumps(item)))
    form = urllib.parse.urlencode(pairs).encode()
    if len(form) > MAX_BODY:
        raise mistake(f"the body is larger than {MAX_BODY // 1024} KB", "", None, limit=True)
    return form
