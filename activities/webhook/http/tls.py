"""TLS contexts: verified, at least 1.2, with a destination's files.

Public authorities come from `certifi`. OpenSSL's default would follow ``SSL_CERT_FILE``, so that whoever sets a
variable decides on trust.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final

import certifi

from activities.webhook.http.exchange import Phase, Tls, reached

Stamp = tuple[tuple[int, int, int], ...]
"""Identity of the files' contents: modification time, inode and size of each."""

_PROTOCOLS: Final = ["http/1.1"]
_NO_PASSWORD: Final = "none"  # noqa: S105
"""Prevents OpenSSL from asking for a password on the terminal."""


class ClientContext(ssl.SSLContext):
    """A context that records the start of a handshake, to tell it from a TCP port that does not answer."""

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        reached(Phase.HANDSHAKE)
        return super().wrap_bio(*args, **kwargs)


def stamp(tls: Tls) -> Stamp:
    """Return the identity of the files' contents, to notice a renewed certificate.

    Raise OSError if one is unreadable.
    """
    stats = [Path(name).stat() for name in (tls.ca_file, tls.cert_file, tls.key_file) if name]
    return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats)


def context(tls: Tls) -> ClientContext:
    """Return a context for TLS settings. It takes tens of milliseconds: keep it.

    Raise OSError if a file cannot be read, or (`ssl.SSLError`) has no certificate or the wrong key.
    """
    made = ClientContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(_PROTOCOLS)
    made.load_verify_locations(cafile=tls.ca_file or certifi.where())
    if tls.cert_file:
        made.load_cert_chain(tls.cert_file, tls.key_file, password=_NO_PASSWORD)
    return made


def problem(tls: Tls) -> str:
    """Return the fault of the files, in one sentence without a path, or ``""``. It is cheap."""
    probe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca_file:
            probe.load_verify_locations(cafile=tls.ca_file)
    except ssl.SSLError:
        return "the file of 'ca' holds no certificate in PEM"
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        return f"the file of 'ca' cannot be read: {_said(error)}"
    try:
        if tls.cert_file:
            probe.load_cert_chain(tls.cert_file, tls.key_file, password=_NO_PASSWORD)
    except ssl.SSLError:
        return "'certificate' and 'key' must be a certificate and its own key in PEM, the key without a password"
    except (OSError, ValueError) as error:
        return f"the files of 'certificate' and 'key' cannot be read: {_said(error)}"
    return ""


def _said(error: OSError | ValueError) -> str:
    return ((error.strerror if isinstance(error, OSError) else None) or "there is no such file").lower()
