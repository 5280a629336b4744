"""Files at S3 and compatible services, and at SFTP servers.

S3 is read in ranges of one version, by requests that the webhooks' guard checks, signed by AWS Signature Version 4 with
keys from secrets. ``If-Match`` refuses a file that changes while it is read.

The operator lists the keys of SFTP servers: others are not called. A file is refused if its size or time changes while
it is read.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import quote, unquote, urlsplit

from activities.webhook.errors import AttemptError
from activities.webhook.http.dial import GuardedResolver, LookupFailedError, SystemLookup
from activities.webhook.http.exchange import Request, Response
from authoring.errors import BadInput
from runtime.settings import Settings
from scenario.http.urls import Access

if TYPE_CHECKING:
    import asyncssh

S3: Final = "s3://"
KEY_ID: Final = "S3_ACCESS_KEY_ID"
ACCESS_KEY: Final = "S3_SECRET_ACCESS_KEY"
TOKEN: Final = "S3_SESSION_TOKEN"  # noqa: S105 - the name of a secret
_PLACE: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.*[^/])", re.ASCII | re.DOTALL)
_TOTAL: Final = re.compile(r"bytes \d+-\d+/(\d+)", re.ASCII)
_EMPTY: Final = hashlib.sha256(b"").hexdigest()
SFTP: Final = "sftp://"
PASSWORD: Final = "SFTP_PASSWORD"  # noqa: S105 - the name of a secret
KEY: Final = "SFTP_PRIVATE_KEY"
_ACCESS: Final = Access(allow_private=True)
"""The setting names the server, so it may be private; link-local and metadata addresses are never called."""
_PART: Final = 4 * 1024 * 1024  # bytes that are read at a time
_TIMEOUT: Final = 120.0  # seconds for a connection, and for each part


class RequestSender(Protocol):
    """Sends a request, as `activities.webhook.http.transport.Transport` does."""

    async def send(self, request: Request) -> Response: ...


@dataclass(frozen=True)
class S3Place:
    """A file at S3."""

    name: str
    url: str  # its URL for requests
    region: str
    access: Access  # the addresses that may be called: public ones, unless the settings name the service

    @classmethod
    def read(cls, text: str, settings: Settings) -> S3Place:
        """Return the place that such as ``s3://bucket/folder/people.csv`` names. Raise BadInput if it names none."""
        found = _PLACE.fullmatch(text)
        if found is None:
            raise BadInput(f"'{text[:80]}' is no file at S3: write such as s3://bucket/folder/people.csv")
        bucket, key = found.groups()
        path = quote(key, safe="/-_.~")
        region = settings.s3_region
        if settings.s3_endpoint is not None:
            given = urlsplit(settings.s3_endpoint)
            is_http = given.scheme == "http"
            port = given.port or (80 if is_http else 443)
            access = Access(allow_private=True, allow_http=is_http, ports=(port,))
            return cls(text, f"{settings.s3_endpoint}/{bucket}/{path}", region, access)
        host = f"s3.{region}.amazonaws.com"
        url = f"https://{host}/{bucket}/{path}" if "." in bucket else f"https://{bucket}.{host}/{path}"
        return cls(text, url, region, Access())


def signed(
    url: str, region: str, headers: Mapping[str, str], secrets: Mapping[str, str], now: datetime
) -> dict[str, str]:
    """Return the headers of a GET request without a query, with its signature.

    See "Authenticating Requests: Using the Authorization Header (AWS Signature Version 4)" of Amazon S3.
    """
    parts = urlsplit(url)
    stamp = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    sent = {**headers, "x-amz-content-sha256": _EMPTY, "x-amz-date": stamp}
    if token := secrets.get(TOKEN):
        sent["x-amz-security-token"] = token
    covered = dict(sorted({**sent, "host": parts.netloc}.items()))
    names = ";".join(covered)
    lines = "".join(f"{name}:{value}\n" for name, value in covered.items())
    request = f"GET\n{parts.path}\n\n{lines}\n{names}\n{_EMPTY}"
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{secrets[ACCESS_KEY]}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    credential = f"Credential={secrets[KEY_ID]}/{scope}"
    return {**sent, "authorization": f"AWS4-HMAC-SHA256 {credential},SignedHeaders={names},Signature={signature}"}


async def s3_parts(place: S3Place, secrets: Mapping[str, str], sender: RequestSender) -> AsyncIterator[bytes]:
    """Yield the bytes of a file at S3. Raise BadInput if it cannot be read, or changed while it was read."""
    missing = next((name for name in (KEY_ID, ACCESS_KEY) if not secrets.get(name)), None)
    if missing is not None:
        raise BadInput(f"a file at S3 needs the secret {missing}: set SCENARIO_SECRET_{missing}")
    start, total, version = 0, 1, ""
    while start < total:
        asked = {"range": f"bytes={start}-{start + _PART - 1}", **({"if-match": version} if version else {})}
        headers = signed(place.url, place.region, asked, secrets, datetime.now(UTC))
        request = Request("GET", place.url, headers, timeout=_TIMEOUT, access=place.access, longest=_PART)
        try:
            answer = await sender.send(request)
        except AttemptError as error:
            raise BadInput(f"{place.name} cannot be read: {error}") from None
        known = _TOTAL.fullmatch(answer.headers.get("content-range", ""))
        if answer.status != 206 or known is None or not answer.headers.get("etag"):
            raise BadInput(f"{place.name} {_WHY.get(answer.status) or f'cannot be read: S3 answered {answer.status}'}")
        total, version = int(known[1]), answer.headers["etag"]
        if not answer.complete or len(answer.body) != min(_PART, total - start):
            raise BadInput(f"{place.name} cannot be read: the connection ended in the middle, so try again")
        yield answer.body
        start += len(answer.body)


_WHY: Final = {
    301: "is in another region: set SCENARIO_S3_REGION",
    403: f"may not be read with these keys: check SCENARIO_SECRET_{KEY_ID} and SCENARIO_SECRET_{ACCESS_KEY}",
    404: "does not exist",
    412: "changed while it was read: use a copy that no program writes to",
    416: "is empty",
}
"""The reasons for which S3 sends nothing, by status."""


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
