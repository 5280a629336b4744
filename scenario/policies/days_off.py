"""Days without sending: weekdays, and public holidays of countries.

The `holidays` package takes a quarter of a second to load, so it is loaded only if a country is named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

from scenario.source.findings import near
from scenario.time import WEEKDAYS

COUNTRY: Final = r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?"
"""A country (ISO 3166-1), or a part of one (ISO 3166-2)."""
_COUNTRY: Final = re.compile(COUNTRY, re.ASCII)
_ADVICE: Final = "write mon to sun, or the code of a country such as FR, or of a part of one such as DE-BY"


def _form(value: str) -> str:
    if value in WEEKDAYS or _COUNTRY.fullmatch(value):
        return value
    raise ValueError(f"'{value[:40]}' is not a day off: {_meant(value)}")


def _meant(value: str) -> str:
    """Return a suggestion for a malformed day off."""
    word = value.strip()
    if (start := word[:3].lower()) in WEEKDAYS:
        return f"did you mean '{start}'?"
    if _COUNTRY.fullmatch(word.upper()):
        return f"did you mean '{word.upper()}'?"
    code = _codes().get(re.sub(r"[^a-z]+", "_", word.lower()))
    return f"did you mean '{code}'?" if code else _ADVICE


DayOff = Annotated[
    str,
    AfterValidator(_form),
    WithJsonSchema({"anyOf": [{"enum": list(WEEKDAYS)}, {"type": "string", "pattern": f"^{COUNTRY}$"}]}),
]
"""A weekday, or the code of a country whose public holidays apply. A check finds unknown countries."""


def unknown(day: str) -> str | None:
    """Return why a well-formed day off is unknown, or None."""
    if day in WEEKDAYS:
        return None
    code, _, part = day.partition("-")
    parts = _parts()
    if code not in parts:
        # United Kingdom, GBR and UK are what people write for GB.
        guess = _codes().get(day.lower()) or near(day, parts)
        hint = f"did you mean '{guess}'?" if guess else _ADVICE
        return f"the public holidays of '{day}' are not known: {hint}"
    if part and part not in parts[code]:
        guess = near(part, parts[code])
        hint = f"did you mean '{code}-{guess}'?" if guess else f"write {code} for those of the whole country"
        return f"the public holidays of '{day}' are not known: {hint}"
    return None


@lru_cache(maxsize=512)
def holidays_of(place: str, year: int) -> Mapping[date, str]:
    """Return a year's public holidays of a country, or a part of one, by day, with names; none if it is unknown."""
    from holidays import country_holidays

    code, _, part = place.partition("-")
    try:
        return dict(country_holidays(code, subdiv=part or None, years=year, language="en_US"))
    except NotImplementedError:  # an unknown country or part: the check of the policies has reported it
        return {}


@lru_cache
def _parts() -> Mapping[str, list[str]]:
    """Return the parts of each country with holidays of their own."""
    from holidays import list_supported_countries

    return list_supported_countries(include_aliases=False)


@lru_cache
def _codes() -> Mapping[str, str]:
    """Return the codes of countries by their English names and other codes, in lower case."""
    from holidays.registry import COUNTRIES

    return {word.lower(): codes[1] for name, codes in COUNTRIES.items() for word in (name, *codes)}
