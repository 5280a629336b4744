"""Files at SFTP servers, whose keys the operator has named: other servers are not called.

A file that changes while it is read is refused, by its size and time before and after.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote, urlsplit

from activities.webhook.http.dial import GuardedResolver, LookupFailedError, SystemLookup
from gateway.errors import BadInput
from runtime.settings import Settings
from scenario.http.urls import Access

if TYPE_CHECKING:
    import asyncssh

SCHEME: Final = "sftp://"
PASSWORD: Final = "SFTP_PASSWORD"  # noqa: S105 - the name of a secret
KEY: Final = "SFTP_PRIVATE_KEY"
_PART: Final = 4 * 1024 * 1024  # bytes that are read at a time
_TIMEOUT: Final = 120.0  # seconds for the connection, and for each part
_ACCESS: Final = Access(allow_private=True)
"""The setting names the server, so it may be private; link-local and metadata addresses are never called."""


@dataclass(frozen=True)
class SftpPlace:
    """A file at an SFTP server."""

    name: str  # as it was given; it holds no password
    user: str
    host: str
    port: int
    path: str
    known: str  # the servers' public keys, in the format of OpenSSH's `known_hosts`

    @classmethod
    def read(cls, text: str, settings: Settings) -> SftpPlace:
        """Return the place that such as ``sftp://shop@files.example.com/folder/people.csv`` names.

        Raise BadInput if it names none, or holds a password, or the setting with the servers' keys is missing.
        """
        try:
            url = urlsplit(text)
            port = url.port or 22
        except ValueError:
            url, port = urlsplit(""), 22
        if url.password is not None:
            raise BadInput(f"the address of the file must not hold a password: set SCENARIO_SECRET_{PASSWORD}")
        path = unquote(url.path)
        if not (url.username and url.hostname) or path.endswith("/") or not path or url.query or url.fragment:
            sentence = "is no file at an SFTP server: write such as sftp://shop@files.example.com/folder/people.csv"
            raise BadInput(f"'{text[:80]}' {sentence}")
        if settings.sftp_host_keys is None:
            raise BadInput(f"set SCENARIO_SFTP_HOST_KEYS to the public key of {url.hostname}, as ssh-keyscan prints it")
        return cls(text, unquote(url.username), url.hostname, port, path, settings.sftp_host_keys)


async def sftp_parts(place: SftpPlace, secrets: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Yield the bytes of a file at an SFTP server. Raise BadInput if it cannot be read, or changes meanwhile."""
    try:
        import asyncssh
    except ImportError:
        raise BadInput(
            f"{place.name} needs a library that is not installed: pip install 'scenario-runner[sftp]'"
        ) from None
    if not (secrets.get(PASSWORD) or secrets.get(KEY)):
        raise BadInput(f"a file at an SFTP server needs the secret {KEY} or {PASSWORD}: set SCENARIO_SECRET_{KEY}")
    try:
        async with (
            await _connected(place, secrets) as connection,
            connection.start_sftp_client() as sftp,
            sftp.open(place.path, "rb") as file,
        ):
            before, start = await file.stat(), 0
            while start < (before.size or 0):  # a file that grows would not end
                async with asyncio.timeout(_TIMEOUT):
                    part = cast("bytes", await file.read(_PART, start))
                yield part
                start += max(len(part), 1)
            after = await sftp.stat(place.path)
            if (before.size, before.mtime) != (after.size, after.mtime):
                raise BadInput(f"{place.name} changed while it was read: use a copy that no program writes to")
    except (asyncssh.Error, OSError, LookupFailedError, TimeoutError) as error:
        raise BadInput(f"{place.name} {_why(error, place)}") from None


async def _connected(place: SftpPlace, secrets: Mapping[str, str]) -> asyncssh.SSHClientConnection:
    import asyncssh

    with closing(SystemLookup()) as lookup:
        address = (await GuardedResolver(lookup, _ACCESS).resolve(place.host, place.port))[0]["host"]
    key = secrets.get(KEY)
    try:
        keys = [asyncssh.import_private_key(key)] if key else []
    except asyncssh.KeyImportError:
        raise BadInput(f"SCENARIO_SECRET_{KEY} is no private key that can be read without a password") from None
    try:
        known = asyncssh.import_known_hosts(place.known)
    except ValueError:
        raise BadInput("SCENARIO_SFTP_HOST_KEYS holds no keys: write lines as ssh-keyscan prints them") from None
    # Neither files of this machine's user nor an agent take part.
    return await asyncssh.connect(
        address,
        place.port,
        username=place.user,
        password=secrets.get(PASSWORD),
        client_keys=keys,
        known_hosts=known,
        host_key_alias=place.host,
        agent_path=None,
        config=None,
        gss_auth=False,
        connect_timeout=_TIMEOUT,
    )


def _why(error: Exception, place: SftpPlace) -> str:
    import asyncssh

    match error:
        case asyncssh.HostKeyNotVerifiable():
            return f"is at a server whose key SCENARIO_SFTP_HOST_KEYS does not name for {place.host}"
        case asyncssh.PermissionDenied():
            return f"may not be read: the server refused the user or SCENARIO_SECRET_{KEY} or _{PASSWORD}"
        case asyncssh.SFTPPermissionDenied():
            return "may not be read by this user"
        case asyncssh.SFTPNoSuchFile() | asyncssh.SFTPNoSuchPath():
            return "does not exist"
        case LookupFailedError(word="refused_address"):
            return "is at an address that may not be called"
        case LookupFailedError():
            return "is at a host whose name cannot be looked up"
        case TimeoutError():
            return "cannot be read: the server did not answer in time, so try again"
        case _:
            return "cannot be read: the connection failed or ended in the middle, so try again"
