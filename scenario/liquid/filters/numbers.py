"""Exact arithmetic, and amounts of money. Decimals stay Decimals, and halves round up."""

from __future__ import annotations

import decimal
import math
from collections.abc import Callable, Iterable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.numbers import format_currency, get_currency_precision, get_decimal_symbol, is_currency
from liquid.filter import sequence_filter
from liquid.undefined import is_undefined

from scenario.errors import NumberError
from scenario.liquid.engine.instrument import FilterValueError, by_name
from scenario.liquid.engine.limits import MOST_DIGITS
from scenario.liquid.engine.values import Number, describe_type, to_exact_decimal, to_text
from scenario.numbers import DecimalPoint, parse_number
from scenario.type_guards import is_mapping

ARITHMETIC: Final = decimal.Context(prec=50, Emax=9999, Emin=-9999)
"""Ten digits more than a number may have, so that only quotients are rounded."""

_AS_A_DOUBLE: Final = decimal.Context(prec=15)
"""The digits that every double can represent."""

_MOST_PLACES: Final = 12


def _read(text: str, point: DecimalPoint | None = None) -> int | Decimal | None:
    try:
        return parse_number(text, point)
    except NumberError as error:
        raise FilterValueError(str(error)) from None


def _to_operand(value: object) -> Number:
    """Return the number that a value represents in arithmetic, or 0 if it is not a number, as in Shopify's Liquid."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int | float | Decimal):
        return value
    found = _read(value) if isinstance(value, str) else None
    return float(found) if isinstance(found, Decimal) else found or 0


def _calculate(
    left: object, right: object, whole: Callable[[int, int], int], decimals: Callable[[Decimal, Decimal], Decimal]
) -> Number:
    """Calculate exactly: integers stay integers, a Decimal gives a Decimal, otherwise the result is a double."""
    first, second = _to_operand(left), _to_operand(right)
    if isinstance(first, int) and isinstance(second, int):
        return whole(first, second)
    made = decimals(to_exact_decimal(first), to_exact_decimal(second))
    return made if isinstance(first, Decimal) or isinstance(second, Decimal) else float(made)


def plus(value: object, other: object) -> Number:
    return _calculate(value, other, lambda a, b: a + b, ARITHMETIC.add)


def minus(value: object, other: object) -> Number:
    return _calculate(value, other, lambda a, b: a - b, ARITHMETIC.subtract)


def times(value: object, other: object) -> Number:
    return _calculate(value, other, lambda a, b: a * b, ARITHMETIC.multiply)


def divided_by(value: object, other: object) -> Number:
    """Divide. Two integers give an integer, rounded down."""
    if not _to_operand(other):
        raise FilterValueError("'divided_by' cannot divide by zero")
    first, second = _to_operand(value), _to_operand(other)
    is_double = isinstance(first, float) or isinstance(second, float)
    if is_double and not isinstance(first, Decimal) and not isinstance(second, Decimal):
        return first / second
    return _calculate(value, other, lambda a, b: a // b, _divide)


def _divide(value: Decimal, other: Decimal) -> Decimal:
    """Return an exact quotient, or a double if it does not come out even, so that JSON writes it as a number."""
    made = ARITHMETIC.divide(value, other)
    return made if len(made.as_tuple().digits) < ARITHMETIC.prec else _AS_A_DOUBLE.plus(made)


def modulo(value: object, other: object) -> Number:
    if not _to_operand(other):
        raise FilterValueError("'modulo' cannot divide by zero")
    return _calculate(value, other, lambda a, b: a % b, _remainder)


def _remainder(value: Decimal, other: Decimal) -> Decimal:
    rounded_down = ARITHMETIC.divide(value, other).to_integral_value(ROUND_FLOOR)
    return ARITHMETIC.subtract(value, ARITHMETIC.multiply(other, rounded_down))


def at_least(value: object, least: object) -> Number:
    first, second = _to_operand(value), _to_operand(least)
    return second if to_exact_decimal(first) < to_exact_decimal(second) else first


def at_most(value: object, most: object) -> Number:
    first, second = _to_operand(value), _to_operand(most)
    return second if to_exact_decimal(first) > to_exact_decimal(second) else first


def abs_(value: object) -> Number:
    found = _to_operand(value)
    # Not abs(), which rounds a Decimal by the thread's context.
    return found.copy_abs() if isinstance(found, Decimal) else abs(found)


def ceil(value: object) -> int:
    return int(_finite("ceil", value).to_integral_value(ROUND_CEILING))


def floor(value: object) -> int:
    return int(_finite("floor", value).to_integral_value(ROUND_FLOOR))


def round_(value: object, digits: object = 0) -> Number:
    """Round to a number of decimal places, halves away from zero: 2.5 to 3, 2.675 to 2.68.

    python-liquid rounds halves to even (2.5 to 2) and in binary (2.675 to 2.67).
    """
    places = int(wanted) if math.isfinite(wanted := _to_operand(digits)) else 0
    if places < 0:
        return 0
    number = _to_operand(value)
    if places > _MOST_PLACES or isinstance(number, int):
        return number
    made = _finite("round", number).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, ARITHMETIC)
    if not places:
        return int(made)
    return made if isinstance(number, Decimal) else float(made)


def _finite(name: str, value: object) -> Decimal:
    number = to_exact_decimal(_to_operand(value))
    if not number.is_finite() or number.adjusted() > MOST_DIGITS:
        raise FilterValueError(f"'{name}' works with numbers of up to 40 digits")
    return number


@sequence_filter
def sum_(items: Iterable[object], key: object = None) -> Number:
    """Return the sum of a list's numbers, or of one field of its objects. Other values count as 0."""
    made: Number = 0
    for item in items:
        value = item
        if key is not None and not is_undefined(key):
            if not is_mapping(item):
                raise FilterValueError("'sum' needs a list of objects to add up one of their fields")
            value = item.get(to_text(key))
        made = plus(made, value)
    return made


def to_number(name: str, value: object, point: DecimalPoint | None = None) -> Number | None:
    """Return a value, or the number in a text; None for nil and blank texts. Messages have the filter's name."""
    if value is None or is_undefined(value):
        return None
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        if not value.strip():
            return None
        if (found := _read(value, point)) is not None:
            return found
        raise FilterValueError(f"'{name}' needs a text that is a number, such as '12.50'")
    raise FilterValueError(f"'{name}' cannot make a number of {describe_type(value)}")


def number(value: object, language: object = None) -> Number | None:
    """Return the number in a text, so that JSON writes it without quotes and it can be compared.

    Args:
        value: The text.
        language: The language in which it is written, such as ``de``. Without it, a text with several meanings is an
            error.
    """
    if language is None or is_undefined(language):
        return to_number("number", value)
    locale = _parse_locale(to_text(language).strip()[:_LONGEST_NAME])
    if locale is None:
        raise FilterValueError("'number' takes the language in which a number is written, such as 'de'")
    return to_number("number", value, "," if get_decimal_symbol(locale) == "," else ".")


def number_with_delimiter(value: object, delimiter: object = ",", separator: object = ".") -> str:
    """Return the number with its digits in groups of three."""
    text = to_text(to_number("number_with_delimiter", value))
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, point, fraction = text.partition(".")
    if not whole.isdigit():
        return sign + text
    grouped = f"{int(whole):,}".replace(",", to_text(delimiter))
    return f"{sign}{grouped}{to_text(separator) if point else ''}{fraction}"


_LONGEST_NAME: Final = 64
_ENGLISH: Final = Locale("en")


def find_locale(name: str) -> Locale:
    """Return a locale by its name in a contact's data: ``fr``, ``fr_FR``; else that of the language, or English."""
    return _parse_locale(name.strip()[:_LONGEST_NAME]) or _ENGLISH


@lru_cache(maxsize=256)
def _parse_locale(name: str) -> Locale | None:
    wanted = name.replace("-", "_")
    for candidate in (wanted, wanted.partition("_")[0].lower()):
        try:
            return Locale.parse(candidate)
        except (ValueError, UnknownLocaleError, TypeError):
            continue
    return None


def money(value: object, currency: object, language: object = "en") -> str:
    """Format an amount with its currency: ``12,50 €``. Halves of the smallest unit round away from zero.

    babel rounds halves to even, and prints -0.001 as -0.00.

    Args:
        value: A number, or a text with one.
        currency: The ISO 4217 code, such as ``EUR``.
        language: The locale, such as ``fr`` or ``contact.language``.

    Returns:
        The text, or an empty text if there is no amount.
    """
    if value is None or is_undefined(value) or value == "":
        return ""
    code = to_text(currency).strip().upper()
    if not is_currency(code):
        raise FilterValueError("'money' needs a currency of three letters, such as 'EUR'")
    amount = to_number("money", value)
    if amount is None:
        return ""
    rounded = _finite("money", amount)
    smallest = Decimal(1).scaleb(-get_currency_precision(code))
    rounded = rounded.quantize(smallest, ROUND_HALF_UP, ARITHMETIC)
    return format_currency(rounded or abs(rounded), code, locale=find_locale(to_text(language)))


FILTERS: Final = by_name(
    *(abs_, at_least, at_most, ceil, divided_by, floor, minus, modulo, money, number, number_with_delimiter),
    *(plus, round_, sum_, times),
)
