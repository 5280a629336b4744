"""The files that TLS to a destination is set up with: decided by operations, never by a scenario."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tls:
    """Whom to trust and who we are, as files (PEM). The files are read again when they change on disk.

    Attributes:
        ca_file: Trust these authorities *instead of* the public ones; None = the public ones.
        cert_file: Our client certificate with its chain, or None.
        key_file: Its private key; None where `cert_file` holds both.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
