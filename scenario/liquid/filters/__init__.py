"""The filters that replace or extend python-liquid's.

A filter raises FilterValueError if it cannot use a value, and BoundReached if its result would be too large.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from liquid.builtin.filters import extra
from liquid.builtin.filters import string as stock

from scenario.liquid.engine.values import to_text
from scenario.liquid.filters import dates, lists, numbers, texts


def _printing_values(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a text filter of python-liquid print values as templates do: ``true``, not ``True``, and no ``None``."""

    @wraps(function)
    def printed(value: object, *arguments: object, **named: object) -> Any:
        return function(to_text(value), *[to_text(argument) for argument in arguments], **named)

    return printed


_TEXTUAL: Final = (
    "append capitalize downcase lstrip newline_to_br prepend remove remove_first replace_first rstrip squish strip "
    "strip_html strip_newlines upcase url_decode"
)

_FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: _printing_values(getattr(stock, name)) for name in _TEXTUAL.split()},
    **{name: _printing_values(getattr(extra, name)) for name in ("escapejs", "safe")},
    **numbers.FILTERS,
    **lists.FILTERS,
    **texts.FILTERS,
    **dates.FILTERS,
    # Aliases from other platforms' templates.
    "property_accessor": lists.property_,
    "sha2": texts.FILTERS["sha256"],
}


def filter_functions(*, html: bool) -> Mapping[str, Callable[..., Any]]:
    """Return the filters by name. In HTML, the author's text is markup and data is not."""
    return {**_FILTERS, **lists.HTML_FILTERS} if html else _FILTERS
