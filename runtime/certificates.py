"""Gauges of configured certificates and keys."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.x509 import load_pem_x509_certificates
from temporalio.client import Client
from temporalio.service import TLSConfig

from runtime.derived_keys import key_names
from runtime.settings import Settings
from runtime.telemetry import metrics

logger = logging.getLogger(__name__)

Certificates = Mapping[tuple[str, str | None], bytes | str]
"""Use (`client` or `ca`, or that of Temporal or the mail server) and destination → PEM, or the path of its file."""

TRUSTED: Final = ("ca", "temporal_ca", "smtp_ca")
"""Uses with files of several authorities, of which one suffices."""


def temporal_certificates(client: Client) -> Certificates:
    """Return the certificates of a connection to Temporal. Later changes of their files are not seen."""
    tls = client.service_client.config.tls
    if not isinstance(tls, TLSConfig):
        return {}
    found = {("temporal_client", None): tls.client_cert, ("temporal_ca", None): tls.server_root_ca_cert}
    return {use: pem for use, pem in found.items() if pem is not None}


def expiry(use: str, pem: bytes) -> datetime:
    """Return when a file of certificates expires: with the first of a chain, or with the last of several authorities.

    Raises:
        ValueError: The file holds no certificate.
    """
    ends = [one.not_valid_after_utc for one in load_pem_x509_certificates(pem)]
    return max(ends) if use in TRUSTED else min(ends)


def measuring_certificates(certificates: Callable[[], Certificates]) -> AbstractContextManager[None]:
    """Measure the remaining validity of certificates, which are read at each scrape."""
    unusable = set[tuple[str, str | None]]()

    def rows() -> metrics.Rows:
        for (use, destination), given in certificates().items():
            try:
                end = expiry(use, given if isinstance(given, bytes) else Path(given).read_bytes())
            except (OSError, ValueError) as error:
                if (use, destination) not in unusable:
                    logger.warning(
                        "the certificate %s of %s cannot be measured (%s)", use, destination, type(error).__name__
                    )
                unusable.add((use, destination))
            else:
                yield (use, destination), (end - datetime.now(UTC)).total_seconds()

    return metrics.CERTIFICATE_LEFT.reading(rows)


def measuring_keys(settings: Settings) -> AbstractContextManager[None]:
    """Measure the names of the keys that this process has."""
    names = key_names(settings)
    return metrics.KEY.reading(lambda: [(name, 1.0) for name in names])
