"""Realistic templates and the data that they are rendered with, as the platform's models give it to templates."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

PAGES = Path(__file__).parent / "pages"


class Page(NamedTuple):
    """A template of the kind that people write.

    Attributes:
        name: The file's name: trigger, name, kind.
        trigger: The trigger whose data it names.
        kind: What it is for.
        source: Its text, or its structure.
    """

    name: str
    trigger: str
    kind: Any
    source: Any


def pages() -> Iterator[Page]:
    for path in sorted(PAGES.iterdir()):
        trigger, _, kind, form = path.name.split(".")
        source = path.read_text()
        yield Page(path.name, trigger, kind, yaml.safe_load(source) if form == "yaml" else source.rstrip("\n"))


def product(number: int) -> dict[str, Any]:
    return {
        "external_id": str(10 + number),
        "product_id": str(10 + number),
        "sku": None,
        "name": f'Vernis "Rouge {number}"',
        "description": "Laque, tenue 7 jours",
        "brand": "L'Oréal Paris",
        "category": "parfum" if number % 2 else "maquillage",
        "unit_price": 10.25,
        "quantity": 2,
        "discount_amount": 0,
        "tax_amount": 3.42,
        "total_line_amount": 20.5,
        "currency": "EUR",
        "url": None,
        "image_url": "https://cdn.example.com/10.jpg",
        "custom": {"gift_wrap": "paper"} if number else {},
    }


def variables() -> dict[str, Any]:
    """All variables that there are, whatever the trigger."""
    order = {
        "external_id": "CGX0094",
        "contact_id": "zoe.obrien@example.com",
        "card_code": None,
        "store_external_id": None,
        "created_at": "2026-07-15T18:45:00+02:00",
        "ordered_at": "2026-07-15T18:45:00+02:00",
        "currency": "EUR",
        "shipping_amount": 4.9,
        "discount_amount": 0,
        "tax_amount": 11.04,
        "total_price": 66.25,
        "sales_person": "Mark Watney",
        "products": [product(number) for number in range(3)],
        "loyalty": {"card_code": "33010000001", "id_program": "1"},
        "store": {
            "external_id": "2",
            "name": "Champs-Élysées",
            "online": False,
            "store_type": "retail",
            "manager": None,
        },
        "custom": {"gift_message": "Joyeux anniversaire !\nÀ bientôt 🎁"},
    }
    return {
        "contact": {
            "id": "3028687",
            "firstname": "Zoé",
            "lastname": 'O\'Brien "La Zo"',
            "email": "zoe.obrien@example.com",
            "cellphone": "+33612345678",
            "language": "fr",
            "timezone": None,
            "creation_date": "2018-01-24T15:00:00+01:00",
            "date_added": "2018-01-24T15:00:00+01:00",
            "double_optin": None,
            "custom": {"vip": True, "birthday": "1987-03-02", "favourite_store": "Champs-Élysées\\Rez-de-chaussée"},
            "lists": [{"id": "51", "name": "Newsletter"}, {"id": "52", "name": "SMS"}],
            "loyalty": [{"card_code": "33010000001", "id_program": "1"}],
            "tracking_consent": [
                {"channel": "email", "scope": "open", "enabled": True, "source": "form", "date": None},
            ],
            "recommendations": [
                {"external_id": "SKU-771", "name": "Sérum", "price": 39.9, "url": None, "image_url": None},
            ],
        },
        "order": order,
        "ticket": order,
        "cart": {key: value for key, value in order.items() if key not in ("store", "loyalty", "created_at")},
        "reward": {
            "external_id": "EG28",
            "card_code": "1674075318835",
            "program_name": "Cercle",
            "earned_date": "2026-09-03T17:24:02+02:00",
            "burned_date": None,
            "expiration_date": "2026-12-24T23:59:59+01:00",
            "status": "valid",
            "reward_definition": {
                "external_id": "E2",
                "name": "The 4th is free",
                "monetary": True,
                "monetary_type": "value",
                "monetary_value": 15,
                "nqp_value": 0,
                "image_url": None,
            },
        },
        "event": {
            "name": "store.visited",
            "time": "2026-07-16T10:00:00+02:00",
            "properties": {"shop": {"city": "Lyon"}, "amount": 12, "items": [{"label": "a"}, {}]},
            "shop": {"city": "Lyon"},
            "order_id": "CGX0094",
        },
        "journey": {
            "id": "post-purchase/3028687",
            "scenario": "post-purchase",
            "version": 3,
            "entered_at": "2026-07-15T18:45:00+02:00",
        },
        "now": "2026-07-16T10:00:00+02:00",
        "today": "2026-07-16",
        "responses": {},
        "secrets": {"WAX_TOKEN": "s3cr3t", "SIGNING_KEY": "k3y"},
    }
