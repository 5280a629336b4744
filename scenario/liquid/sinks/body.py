"""Bodies of webhooks: JSON as text or as a structure, forms, and plain text."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Mapping
from typing import Any

from scenario.errors import TemplateError
from scenario.liquid.engine.environment import json_engine, strict_engine
from scenario.liquid.engine.errors import make_error
from scenario.liquid.engine.limits import MAX_BODY
from scenario.liquid.engine.sink import Sink
from scenario.liquid.engine.values import replace_surrogates
from scenario.liquid.sinks import json_text, structured
from scenario.liquid.sinks.text import render_into
from scenario.type_guards import is_list, is_mapping


def render_json(body: str | Mapping[str, Any] | list[Any], data: Mapping[str, Any]) -> bytes:
    """Render JSON text with Liquid in it, or a structure with Liquid in its leaves (see ``structured``).

    The result is valid JSON in UTF-8. A structure gives compact JSON, a text keeps its layout.
    """
    if not isinstance(body, str):
        return structured.render_structured(body, data)
    sink = json_text.JsonSink()
    template = render_into(json_engine, body, data, sink)
    rendered = json_text.finish_document(sink, body)
    if template.has_rendered_keys:
        json_text.refuse_duplicate_keys(rendered, sink, body)
    return rendered


def render_plain(body: str, data: Mapping[str, Any]) -> bytes:
    """Render a body that is neither JSON nor a form: text in UTF-8 without escaping. Raises as ``render_json`` does."""
    sink = Sink()
    render_into(strict_engine, body, data, sink)
    return json_text.encode_body(sink.getvalue(), body)


def render_form(body: Mapping[str, Any], data: Mapping[str, Any]) -> bytes:
    """Render a form (``application/x-www-form-urlencoded``) from field names and values, with Liquid in both.

    A list repeats its field, nil is an empty value.
    """
    rendered: Any = json.loads(replace_surrogates(structured.compile_body(body).render(data)))
    if not is_mapping(rendered):
        raise TemplateError("a form is a mapping of field names to values")
    pairs: list[tuple[str, str]] = []
    for name, value in rendered.items():
        for item in value if is_list(value) else [value]:
            if isinstance(item, dict | list):
                reason = "a form's value is a text, a number or a list of these: for JSON in a text, '| json | string'"
                raise make_error(reason, "", None, at=name)
            pairs.append((name, item if isinstance(item, str) else "" if item is None else json.dumps(item)))
    form = urllib.parse.urlencode(pairs).encode()
    if len(form) > MAX_BODY:
        raise make_error(f"the body is larger than {MAX_BODY // 1024} KB", "", None, limit=True)
    return form
