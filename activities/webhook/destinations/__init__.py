"""The systems that webhooks go to, as operations describe them in `destinations.yaml`."""

from __future__ import annotations

from activities.webhook.destinations.destinations import Book, CredentialsError, Destination
from activities.webhook.destinations.reading import DestinationsError, Reading, examine, read
from activities.webhook.destinations.watch import VARIABLE, Destinations

__all__ = [
    "VARIABLE",
    "Book",
    "CredentialsError",
    "Destination",
    "Destinations",
    "DestinationsError",
    "Reading",
    "examine",
    "read",
]
