"""URLs of pages."""

from __future__ import annotations

from urllib.parse import quote, urlencode


def link(path: str, **query: object) -> str:
    """Return a URL of this site.

    Args:
        path: The quoted path.
        query: Parameters; None and empty ones are left out.
    """
    given = urlencode({name: value for name, value in query.items() if value not in (None, "")})
    return f"{path}?{given}" if given else path


def to_scenario(name: str, **query: object) -> str:
    """Return the URL of a scenario's page, optionally of a version: ``post-purchase@3``."""
    bare, _, version = name.partition("@")
    return link(f"/scenarios/{quote(bare, safe='')}", version=query.pop("version", version), **query)


def to_contact(contact: str) -> str:
    return f"/contacts/{quote(contact, safe='')}"


def to_journey(journey: str) -> str:
    """Return the URL of a journey's page. Its id contains slashes."""
    return f"/journeys/{quote(journey, safe='/')}"


def is_here(address: str) -> bool:
    """Return True if a given URL leads to a page of this site in every browser."""
    return address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable()
