"""Parsing without rendering: what ``scenario check`` asks of each template."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenario.liquid.engine.environment import html_engine, json_engine, strict_engine, text_engine
from scenario.liquid.sinks import structured, url
from scenario.liquid.sinks.text import condition, template


def parse_text(source: str) -> None:
    """Refuse a malformed text, SMS or subject.

    Raises:
        TemplateError: It is malformed; with its position.
    """
    template(text_engine, source)


def parse_html(source: str) -> None:
    """Refuse a malformed HTML e-mail. Raises as ``parse_text`` does."""
    template(html_engine, source)


def parse_json(body: str | Mapping[str, Any] | list[Any]) -> None:
    """Refuse a malformed JSON body, text or structure. Raises as ``parse_text`` does."""
    if isinstance(body, str):
        template(json_engine, body)
    else:
        structured.compiled(body)


def parse_form(body: Mapping[str, Any]) -> None:
    """Refuse a malformed form. Raises as ``parse_text`` does."""
    structured.compiled(body)


def parse_plain(source: str) -> None:
    """Refuse a malformed body of plain text. Raises as ``parse_text`` does."""
    template(strict_engine, source)


def parse_url(source: str) -> str:
    """Refuse a malformed URL, or one whose scheme and host are not plain text. Raises as ``parse_text`` does.

    Returns:
        Its scheme, host and port, such as ``https://hooks.example.com``.
    """
    return url.origin(source)


def parse_path(source: str) -> None:
    """Refuse a malformed path beneath a destination's URL. Raises as ``parse_text`` does."""
    url.check_path(source)


def parse_header(source: str) -> None:
    """Refuse a malformed header's value. Raises as ``parse_text`` does."""
    template(strict_engine, source)


def parse_condition(source: str) -> None:
    """Refuse a malformed condition. Raises as ``parse_text`` does."""
    condition(source)


def parse_value(source: str) -> None:
    """Refuse a malformed value, such as the ``until`` of a wait. Raises as ``parse_text`` does."""
    template(text_engine, source)
