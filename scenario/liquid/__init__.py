"""Templates: Liquid whose results cannot be wrong in the place where they go.

Each kind of result has its own function, which escapes values as that place needs: JSON that always parses, URLs whose
host no data can change, headers that stay on their line, HTML that shows data as text. Rendering is a pure function of
template, data and the ``now`` in the data: there is no clock, no randomness, no file, no network, and every template
ends within bounded steps, time and room.

Importing this package costs nothing: python-liquid is loaded by the first use of a function. Workflow code uses none of
it; conditions and templates are evaluated by activities.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenario.liquid.analysis.compared import compared, told_by
    from scenario.liquid.analysis.fields import Kind, fields
    from scenario.liquid.analysis.usage import needs
    from scenario.liquid.sinks.body import render_form, render_json, render_plain
    from scenario.liquid.sinks.header import check_header_name, render_header
    from scenario.liquid.sinks.text import (
        evaluate_condition,
        evaluate_value,
        parse_text,
        render_html,
        render_line,
        render_text,
    )
    from scenario.liquid.sinks.url import render_path, render_url

__all__ = [
    "Kind",
    "check_header_name",
    "compared",
    "evaluate_condition",
    "evaluate_value",
    "fields",
    "needs",
    "parse_text",
    "render_form",
    "render_header",
    "render_html",
    "render_json",
    "render_line",
    "render_path",
    "render_plain",
    "render_text",
    "render_url",
    "told_by",
]

_HOMES = {
    "sinks.body": ("render_form", "render_json", "render_plain"),
    "analysis.compared": ("compared", "told_by"),
    "analysis.fields": ("Kind", "fields"),
    "sinks.header": ("check_header_name", "render_header"),
    "sinks.text": ("evaluate_condition", "evaluate_value", "parse_text", "render_html", "render_line", "render_text"),
    "analysis.usage": ("needs",),
    "sinks.url": ("render_path", "render_url"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Load a function where it is asked for (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    return found
