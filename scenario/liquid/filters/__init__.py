"""The filters, one module a concern. python-liquid's own stand where they are right; these are the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scenario.liquid.filters import dates, encodings, lists, money, numbers, texts

_FILTERS: Mapping[str, Callable[..., Any]] = {
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
