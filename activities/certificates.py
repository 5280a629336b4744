"""The certificates that a worker uses."""

from __future__ import annotations

from contextlib import AbstractContextManager

from temporalio.client import Client

from activities.email.server import parse_server
from activities.webhook.destinations.destinations import Destinations
from activities.webhook.destinations.watch import DestinationsFile
from runtime.certificates import Certificates, measuring_certificates, temporal_certificates
from runtime.settings import Settings


def measured_certificates(
    client: Client, settings: Settings, destinations: DestinationsFile
) -> AbstractContextManager[None]:
    """Measure the seconds left of all certificates of a worker."""
    return measuring_certificates(
        lambda: {**temporal_certificates(client), **certificates_of(settings, destinations.book)}
    )


def certificates_of(settings: Settings, book: Destinations) -> Certificates:
    """Return the paths of the certificates for destinations and the mail server."""
    found: dict[tuple[str, str | None], bytes | str] = {}
    for name, destination in book.destinations.items():
        for use, path in (("client", destination.tls.cert_file), ("ca", destination.tls.ca_file)):
            if path:
                found[use, name] = path
    ca = parse_server(settings.smtp.get_secret_value()).ca if settings.smtp is not None else None
    return found | ({("smtp_ca", None): ca} if ca else {})
