"""Files at S3 and compatible services, read in ranges of one version by requests that the webhooks' guard checks.

Requests are signed by AWS Signature Version 4 with keys from secrets. ``If-Match`` refuses a file that changes while
it is read.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol
from urllib.parse import quote, urlsplit

from activities.webhook.errors import AttemptError
from activities.webhook.http.exchange import Request, Response
from gateway.errors import BadInput
from runtime.settings import Settings
from scenario.http.urls import Access

SCHEME: Final = "s3://"
KEY_ID: Final = "S3_ACCESS_KEY_ID"
KEY: Final = "S3_SECRET_ACCESS_KEY"
TOKEN: Final = "S3_SESSION_TOKEN"  # noqa: S105 - the name of a secret
_RANGE: Final = 4 * 1024 * 1024  # bytes of a request
_TIMEOUT: Final = 120.0  # seconds of a request
_PLACE: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.*[^/])", re.ASCII | re.DOTALL)
_TOTAL: Final = re.compile(r"bytes \d+-\d+/(\d+)", re.ASCII)
_EMPTY: Final = hashlib.sha256(b"").hexdigest()


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
    key = f"AWS4{secrets[KEY]}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    credential = f"Credential={secrets[KEY_ID]}/{scope}"
    return {**sent, "authorization": f"AWS4-HMAC-SHA256 {credential},SignedHeaders={names},Signature={signature}"}


async def s3_parts(place: S3Place, secrets: Mapping[str, str], sender: RequestSender) -> AsyncIterator[bytes]:
    """Yield the bytes of a file at S3. Raise BadInput if it cannot be read, or changed while it was read."""
    missing = next((name for name in (KEY_ID, KEY) if not secrets.get(name)), None)
    if missing is not None:
        raise BadInput(f"a file at S3 needs the secret {missing}: set SCENARIO_SECRET_{missing}")
    start, total, version = 0, 1, ""
    while start < total:
        asked = {"range": f"bytes={start}-{start + _RANGE - 1}", **({"if-match": version} if version else {})}
        headers = signed(place.url, place.region, asked, secrets, datetime.now(UTC))
        request = Request("GET", place.url, headers, timeout=_TIMEOUT, access=place.access, longest=_RANGE)
        try:
            answer = await sender.send(request)
        except AttemptError as error:
            raise BadInput(f"{place.name} cannot be read: {error}") from None
        known = _TOTAL.fullmatch(answer.headers.get("content-range", ""))
        if answer.status != 206 or known is None or not answer.headers.get("etag"):
            raise BadInput(f"{place.name} {_WHY.get(answer.status) or f'cannot be read: S3 answered {answer.status}'}")
        total, version = int(known[1]), answer.headers["etag"]
        if not answer.complete or len(answer.body) != min(_RANGE, total - start):
            raise BadInput(f"{place.name} cannot be read: the connection ended in the middle, so try again")
        yield answer.body
        start += len(answer.body)


_WHY: Final = {
    301: "is in another region: set SCENARIO_S3_REGION",
    403: f"may not be read with these keys: check SCENARIO_SECRET_{KEY_ID} and SCENARIO_SECRET_{KEY}",
    404: "does not exist",
    412: "changed while it was read: use a copy that no program writes to",
    416: "is empty",
}
"""The reasons for which S3 sends nothing, by status."""
