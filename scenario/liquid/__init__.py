"""Liquid templates that cannot break the format that they are rendered to.

Each output format has its own function, which escapes values as the format requires: JSON always parses, data cannot
change a URL's host, headers stay on one line, HTML shows data as text. Rendering is a pure function of the template,
the data and the ``now`` in the data: it reads no clock, random numbers, files or network, and its steps, time and
memory are bounded.

Importing this package loads nothing: the first use of a function loads python-liquid. Workflow code uses none of it.
Activities evaluate conditions and templates.
"""

# ruff: noqa: F401 - type checkers find the functions by these imports, and Python by `__getattr__`
# pyright: reportUnusedImport=false
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenario.liquid.analysis.conditions import find_compared_values, find_proven_paths
    from scenario.liquid.analysis.fields import find_fields
    from scenario.liquid.analysis.usage import trace_usage
    from scenario.liquid.engine.context import record_empty_outputs
    from scenario.liquid.shapes import Kind
    from scenario.liquid.sinks.body import render_form, render_json, render_plain
    from scenario.liquid.sinks.mailbox import render_mailbox
    from scenario.liquid.sinks.request import check_header_name, render_header, render_path, render_url
    from scenario.liquid.sinks.text import (
        evaluate_condition,
        evaluate_value,
        parse_text,
        render_html,
        render_line,
        render_text,
    )

_HOMES = {
    "sinks.body": ("render_form", "render_json", "render_plain"),
    "analysis.conditions": ("find_compared_values", "find_proven_paths"),
    "analysis.fields": ("find_fields",),
    "sinks.mailbox": ("render_mailbox",),
    "sinks.request": ("check_header_name", "render_header", "render_path", "render_url"),
    "sinks.text": ("evaluate_condition", "evaluate_value", "parse_text", "render_html", "render_line", "render_text"),
    "analysis.usage": ("trace_usage",),
    "engine.context": ("record_empty_outputs",),
    "shapes": ("Kind",),
}
HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a function on first use (PEP 562)."""
    if name not in HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"{__name__}.{HOME_OF[name]}"), name)
    return found
