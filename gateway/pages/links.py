"""Where pages are, with ids put into addresses as they have to be."""

from __future__ import annotations

from urllib.parse import quote, urlencode


def link(path: str, **query: object) -> str:
    """An address on this site.

    Args:
        path: Its path, quoted.
        query: Parameters; those that are None or empty are left out.
    """
    given = urlencode({name: value for name, value in query.items() if value not in (None, "")})
    return f"{path}?{given}" if given else path


def to_scenario(name: str, **query: object) -> str:
    """The page of a scenario. Its name may have a version: ``post-purchase@3``."""
    bare, _, version = name.partition("@")
    return link(f"/scenarios/{quote(bare, safe='')}", version=query.pop("version", version), **query)


def to_contact(contact: str) -> str:
    """The page of a contact."""
    return f"/contacts/{quote(contact, safe='')}"


def to_journey(journey: str) -> str:
    """The page of a journey. Its id has slashes."""
    return f"/journeys/{quote(journey, safe='/')}"


def is_here(address: str) -> bool:
    """Whether an address that somebody gave leads to a page of this site, whatever a browser makes of it."""
    return address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
