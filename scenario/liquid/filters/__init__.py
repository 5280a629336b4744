"""The filters, one module a concern. python-liquid's own stand where they are right; these are the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

from liquid.builtin.filters import string as stock
from liquid.undefined import is_undefined

from scenario.liquid.filters import dates, encodings, lists, money, numbers, texts
from scenario.liquid.values import to_text


def _textual(function: Callable[..., Any]) -> Callable[..., Any]:
    """A text filter of python-liquid that prints values as we do: ``true`` and not ``True``."""

    @wraps(function)
    def printed(value: object, *arguments: object, **named: object) -> Any:
        texts_ = [_printed(argument) for argument in arguments]
        return function(_printed(value), *texts_, **named)

    return printed


def _printed(value: object) -> object:
    # Numbers stay numbers: they may be a length or a place.
    return value if value is None or is_undefined(value) or type(value) in (str, int, float) else to_text(value)


_TEXTUAL: Final[Mapping[str, Callable[..., Any]]] = {
    "append": stock.append,
    "capitalize": stock.capitalize,
    "downcase": stock.downcase,
    "escape": stock.escape,
    "escape_once": stock.escape_once,
    "lstrip": stock.lstrip,
    "newline_to_br": stock.newline_to_br,
    "prepend": stock.prepend,
    "remove": stock.remove,
    "remove_first": stock.remove_first,
    "remove_last": stock.remove_last,
    "replace_first": stock.replace_first,
    "replace_last": stock.replace_last,
    "rstrip": stock.rstrip,
    "split": stock.split,
    "squish": stock.squish,
    "strip": stock.strip,
    "strip_html": stock.strip_html,
    "strip_newlines": stock.strip_newlines,
    "truncate": stock.truncate,
    "truncatewords": stock.truncatewords,
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
    **money.FILTERS,
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
