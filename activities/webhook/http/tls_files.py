"""The files that TLS to a destination is set up with: decided by operations, never by a scenario."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tls:
    """The certificates to trust and our own client certificate, as PEM files. They are read again when they change.

    Attributes:
        ca_file: Trust these authorities *instead of* the public ones; None = the public ones.
        cert_file: Our client certificate with its chain, or None.
        key_file: Its private key; None where `cert_file` holds both.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
