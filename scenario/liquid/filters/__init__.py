"""The filters, one module a concern. python-liquid's own stand where they are right; these are the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from liquid.builtin.filters import extra
from liquid.builtin.filters import string as stock

from scenario.liquid.engine.values import to_text
from scenario.liquid.filters import dates, encodings, lists, numbers, texts


def _textual(function: Callable[..., Any]) -> Callable[..., Any]:
    """A text filter of python-liquid that prints values as we do: ``true`` and not ``True``, nothing for nil."""

    @wraps(function)
    def printed(value: object, *arguments: object, **named: object) -> Any:
        return function(to_text(value), *[to_text(argument) for argument in arguments], **named)

    return printed


_TEXTUAL: Final[Mapping[str, Callable[..., Any]]] = {
    "append": stock.append,
    "capitalize": stock.capitalize,
    "downcase": stock.downcase,
    "escapejs": extra.escapejs,
    "lstrip": stock.lstrip,
    "newline_to_br": stock.newline_to_br,
    "prepend": stock.prepend,
    "remove": stock.remove,
    "remove_first": stock.remove_first,
    "replace_first": stock.replace_first,
    "rstrip": stock.rstrip,
    "safe": extra.safe,
    "squish": stock.squish,
    "strip": stock.strip,
    "strip_html": stock.strip_html,
    "strip_newlines": stock.strip_newlines,
    "upcase": stock.upcase,
    "url_decode": stock.url_decode,
}

_FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    **{name: _textual(function) for name, function in _TEXTUAL.items()},
    **numbers.FILTERS,
    **lists.FILTERS,
    **texts.FILTERS,
    **encodings.FILTERS,
    **dates.FILTERS,
    # Names that other platforms' templates use.
    "property_accessor": lists.property_,
    "sha2": encodings.FILTERS["sha256"],
}


def functions(*, html: bool) -> Mapping[str, Callable[..., Any]]:
    """The filters that replace python-liquid's, or that it does not have, by name.

    Args:
        html: Whether they are for HTML, where what an author writes is markup and data is not.
    """
    return {**_FILTERS, **lists.HTML_FILTERS} if html else _FILTERS
