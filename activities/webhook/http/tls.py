"""TLS contexts: verified, 1.2 at least, from the files that a destination names.

The public authorities come from `certifi`, not from the environment: OpenSSL's own default honours
``SSL_CERT_FILE``, so whoever may set a variable could set whom we trust.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final

import certifi

from activities.webhook.http.exchange import Phase, Tls, reached

Stamp = tuple[tuple[int, int, int], ...]
"""Identity of the files' present contents: modification time, inode and size of each."""

_PROTOCOLS: Final = ["http/1.1"]
_NO_PASSWORD: Final = "none"  # noqa: S105
"""Without one, OpenSSL would ask for the password of an encrypted key on the terminal, and wait."""


class ClientContext(ssl.SSLContext):
    """A context that notes when a handshake begins, so that a silent one can be told from a silent TCP port."""

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """As in `ssl.SSLContext`."""
        reached(Phase.HANDSHAKE)
        return super().wrap_bio(*args, **kwargs)


def stamp(tls: Tls) -> Stamp:
    """Which contents the files have now, to notice that a certificate was renewed.

    Raises:
        OSError: A file cannot be read.
    """
    stats = [Path(name).stat() for name in (tls.ca_file, tls.cert_file, tls.key_file) if name]
    return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in stats)


def context(tls: Tls) -> ClientContext:
    """Return a context for the destination's TLS settings. Costs tens of milliseconds: keep it.

    Raises:
        OSError: A file cannot be read, or (`ssl.SSLError`) holds no certificate or not the right key.
    """
    made = ClientContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies certificate and name
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(_PROTOCOLS)
    made.load_verify_locations(cafile=tls.ca_file or certifi.where())
    if tls.cert_file:
        made.load_cert_chain(tls.cert_file, tls.key_file, password=_NO_PASSWORD)
    return made


def problem(tls: Tls) -> str:
    """What is wrong with the files, in one sentence that names no path; ``""`` where nothing is.

    Cheap: the public authorities are not loaded.
    """
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
