"""The systems that webhooks go to, as operations describe them in `destinations.yaml`."""

from __future__ import annotations

from activities.webhook.destinations.destinations import CredentialsError, Destination, Destinations
from activities.webhook.destinations.reading import DestinationsError, Reading, examine, read
from activities.webhook.destinations.watch import VARIABLE, DestinationsFile

__all__ = [
    "VARIABLE",
    "CredentialsError",
    "Destination",
    "Destinations",
    "DestinationsError",
    "DestinationsFile",
    "Reading",
    "examine",
    "read",
]
