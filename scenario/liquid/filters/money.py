"""Amounts of money, as a country writes them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any, Final

from babel import Locale, UnknownLocaleError
from babel.numbers import format_currency, get_currency_precision, is_currency
from liquid.undefined import is_undefined

from scenario.liquid.engine.filter_call import Unfit
from scenario.liquid.engine.limits import MOST_DIGITS
from scenario.liquid.engine.values import exact, to_text
from scenario.liquid.filters.numbers import ARITHMETIC, numeric

_LONGEST_NAME: Final = 64


def locale(name: str) -> Locale:
    """A locale by its name, as contacts' data has it: ``fr``, ``fr_FR``, ``fr-fr``.

    Falls back to the language alone and to English: what a contact's record holds must not stop a message.
    """
    return _found(name.strip()[:_LONGEST_NAME])


@lru_cache(maxsize=256)
def _found(name: str) -> Locale:
    wanted = name.replace("-", "_")
    for candidate in (wanted, wanted.partition("_")[0].lower()):
        try:
            return Locale.parse(candidate)
        except (ValueError, UnknownLocaleError, TypeError):
            continue
    return Locale("en")


def money(value: object, currency: object, language: object = "en") -> str:
    """An amount with its currency: ``12,50 €``; halves of the currency's smallest unit go away from zero.

    babel rounds halves to even, and writes what is left of -0.001 as -0.00.

    Args:
        value: The amount, a number or a text that is one.
        currency: Its ISO 4217 code, such as ``EUR``.
        language: The locale to write it in, such as ``fr`` or ``contact.language``.

    Returns:
        The text, or an empty one where there is no amount.

    Raises:
        Unfit: The amount is not a number, or the currency is none.
    """
    if value is None or is_undefined(value) or value == "":
        return ""
    code = to_text(currency).strip().upper()
    if not is_currency(code):
        raise Unfit("'money' needs a currency of three letters, such as 'EUR'")
    amount = numeric("money", value)
    if amount is None:
        return ""
    rounded = exact(amount)
    if not rounded.is_finite() or rounded.adjusted() > MOST_DIGITS:
        raise Unfit("'money' works with numbers of up to 40 digits")
    smallest = Decimal(1).scaleb(-get_currency_precision(code))
    rounded = rounded.quantize(smallest, ROUND_HALF_UP, ARITHMETIC)
    return format_currency(rounded or abs(rounded), code, locale=locale(to_text(language)))


FILTERS: Final[dict[str, Callable[..., Any]]] = {"money": money}
