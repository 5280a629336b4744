"""The certificates that a worker sends with."""

from __future__ import annotations

from activities.email.server import parse_server
from activities.webhook.destinations.destinations import Destinations
from runtime.certificates import Certificates
from runtime.settings import Settings


def certificates_of(settings: Settings, book: Destinations) -> Certificates:
    """Return the paths of the certificates set for destinations and the mail server."""
    found: dict[tuple[str, str | None], bytes | str] = {}
    for name, destination in book.destinations.items():
        for use, path in (("client", destination.tls.cert_file), ("ca", destination.tls.ca_file)):
            if path:
                found[use, name] = path
    ca = parse_server(settings.smtp.get_secret_value()).ca if settings.smtp is not None else None
    return found | ({("smtp_ca", None): ca} if ca else {})
