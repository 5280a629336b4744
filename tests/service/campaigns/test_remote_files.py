"""Files at S3 and SFTP: signatures, one version of a file, and addresses that may not be called."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from activities.webhook.http.transport import Transport
from authoring.errors import BadInput
from runtime.settings import Settings
from scenario.http.urls import Access
from service.campaigns import remote_files
from service.campaigns.remote_files import (
    ACCESS_KEY,
    KEY,
    KEY_ID,
    PASSWORD,
    TOKEN,
    S3Place,
    SftpPlace,
    s3_parts,
    sftp_parts,
    signed,
)

SECRETS = {KEY_ID: "AKIAIOSFODNN7EXAMPLE", ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}


def test_a_request_is_signed_as_amazons_example():
    """ "GET Object" in the examples of signature calculations of Amazon S3's API reference."""
    url, now = "https://examplebucket.s3.amazonaws.com/test.txt", datetime(2013, 5, 24, tzinfo=UTC)
    headers = signed(url, "us-east-1", {"range": "bytes=0-9"}, SECRETS, now)
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )
    assert "x-amz-security-token;" not in headers["authorization"]
    token = signed(url, "us-east-1", {}, {**SECRETS, TOKEN: "t"}, now)
    assert (token["x-amz-security-token"], "x-amz-date;x-amz-security-token" in token["authorization"]) == ("t", True)


@pytest.mark.parametrize(
    ("text", "endpoint", "url"),
    [
        ("s3://shop/a b/é.csv", None, "https://shop.s3.eu-west-3.amazonaws.com/a%20b/%C3%A9.csv"),
        ("s3://shop.example/p.csv", None, "https://s3.eu-west-3.amazonaws.com/shop.example/p.csv"),
        ("s3://shop/p.csv", "https://minio.internal:9000", "https://minio.internal:9000/shop/p.csv"),
    ],
)
def test_a_place_becomes_a_url(text: str, endpoint: str | None, url: str):
    place = S3Place.read(text, Settings(s3_endpoint=endpoint, s3_region="eu-west-3"))
    assert (place.url, place.access.allow_private) == (url, endpoint is not None)


@pytest.mark.parametrize("text", ["s3://shop", "s3://shop/folder/", "s3://evil.example#/p.csv", "s3://Shop/p.csv"])
def test_what_names_no_file_is_refused(text: str):
    with pytest.raises(BadInput, match="is no file at S3: write such as s3://"):
        S3Place.read(text, Settings())


@dataclass
class Bucket:
    """A service with one file."""

    content: bytes
    version: int = 1
    changes: bool = False
    asked: list[str] = field(default_factory=list[str])

    async def answer(self, request: web.Request) -> web.Response:
        if "AKIAIOSFODNN7EXAMPLE" not in request.headers.get("authorization", ""):
            return web.Response(status=403)
        if request.path != "/shop/people.csv":
            return web.Response(status=404)
        self.asked.append(request.headers["range"])
        if request.headers.get("if-match", f'"{self.version}"') != f'"{self.version}"':
            return web.Response(status=412)
        first, last = map(int, re.findall(r"\d+", request.headers["range"]))
        part = self.content[first : last + 1]
        if not part:
            return web.Response(status=416)
        given = f"bytes {first}-{first + len(part) - 1}/{len(self.content)}"
        headers = {"etag": f'"{self.version}"', "content-range": given}
        self.version += self.changes
        return web.Response(status=206, body=part, headers=headers)


@pytest.fixture
async def bucket(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Bucket, str]]:
    monkeypatch.setattr(remote_files, "_PART", 10)
    made, app = Bucket(b"contact.id\n1\n2\n3\n4\n"), web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield made, str(server.make_url("")).rstrip("/")


async def read(place: S3Place, secrets: dict[str, str]) -> bytes:
    async with Transport() as transport:
        return b"".join([part async for part in s3_parts(place, secrets, transport)])


async def test_a_file_is_read_in_ranges_of_one_version(bucket: tuple[Bucket, str]):
    made, endpoint = bucket
    place = S3Place.read("s3://shop/people.csv", Settings(s3_endpoint=endpoint))
    assert await read(place, SECRETS) == made.content
    assert made.asked == ["bytes=0-9", "bytes=10-19"]
    made.changes = True
    other = S3Place.read("s3://shop/other.csv", Settings(s3_endpoint=endpoint))
    for content, at, secrets, why in (
        (made.content, place, SECRETS, r"s3://shop/people\.csv changed while it was read"),
        (b"", place, SECRETS, "is empty"),
        (b"", other, SECRETS, "does not exist"),
        (b"", place, {**SECRETS, KEY_ID: "other"}, "may not be read with these keys: check SCENARIO_SECRET_S3_ACCESS"),
        (b"", place, {KEY_ID: "a"}, "needs the secret S3_SECRET_ACCESS_KEY: set SCENARIO_SECRET_S3_SECRET"),
    ):
        made.content = content
        with pytest.raises(BadInput, match=why):
            await read(at, secrets)


async def test_a_private_address_is_called_only_if_the_settings_name_it(bucket: tuple[Bucket, str]):
    made, endpoint = bucket
    place = S3Place.read("s3://shop/people.csv", Settings(s3_endpoint=endpoint))
    guarded = replace(place, access=replace(Access(), allow_http=True, ports=place.access.ports))
    with pytest.raises(BadInput, match="address that may not be called"):
        await read(guarded, SECRETS)
    assert made.asked == []


CONTENT = b"contact.id\n" + b"7\n" * 3_000_000
SERVER, OTHER, USER = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(3))  # pyright: ignore[reportUnknownMemberType]


class Login(asyncssh.SSHServer):
    """Lets the user shop in, with the password open or a key."""

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("shop", "open")


def public(key: asyncssh.SSHKey, host: str = "127.0.0.1") -> str:
    return f"[{host}]:* {key.export_public_key().decode()}"


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    (tmp_path / "people.csv").write_bytes(CONTENT)
    keys = asyncssh.import_authorized_keys(USER.export_public_key().decode())
    given: dict[str, Any] = {"server_host_keys": [SERVER], "authorized_client_keys": keys}
    folder = partial(asyncssh.SFTPServer, chroot=str(tmp_path).encode())
    server = await asyncssh.listen("127.0.0.1", 0, server_factory=Login, sftp_factory=folder, **given)
    async with server:
        yield f"sftp://shop@127.0.0.1:{server.get_port()}"


async def read_sftp(place: str, known: str, **secrets: str) -> bytes:
    settings = Settings(sftp_host_keys=known)
    return b"".join([part async for part in sftp_parts(SftpPlace.read(place, settings), secrets)])


async def test_a_file_is_read_with_a_password_or_a_key(address: str):
    for secrets in ({PASSWORD: "open"}, {KEY: USER.export_private_key().decode()}):
        assert await read_sftp(f"{address}/people.csv", public(SERVER), **secrets) == CONTENT


async def test_a_file_that_changes_meanwhile_is_refused(address: str, tmp_path: Path):
    place = SftpPlace.read(f"{address}/people.csv", Settings(sftp_host_keys=public(SERVER)))

    async def grow() -> None:
        async for _ in sftp_parts(place, {PASSWORD: "open"}):
            with (tmp_path / "people.csv").open("ab") as file:
                file.write(b"8\n")

    with pytest.raises(BadInput, match="changed while it was read: use a copy"):
        await grow()


@pytest.mark.parametrize(
    ("path", "known", "secrets", "why"),
    [
        ("people.csv", public(OTHER), {PASSWORD: "open"}, "is at a server whose key SCENARIO_SFTP_HOST_KEYS does not"),
        ("people.csv", public(SERVER, "other"), {PASSWORD: "open"}, "SCENARIO_SFTP_HOST_KEYS does not name for 127"),
        ("people.csv", public(SERVER), {PASSWORD: "shut"}, "the server refused the user or SCENARIO_SECRET_SFTP_PRI"),
        ("people.csv", public(SERVER), {KEY: "none"}, "SCENARIO_SECRET_SFTP_PRIVATE_KEY is no private key"),
        ("people.csv", "nothing here", {PASSWORD: "open"}, "SCENARIO_SFTP_HOST_KEYS"),
        ("people.csv", public(SERVER), {}, "needs the secret SFTP_PRIVATE_KEY or SFTP_PASSWORD"),
        ("absent.csv", public(SERVER), {PASSWORD: "open"}, "absent.csv does not exist"),
    ],
    ids=range(7),  # keys are made anew in each process
)
async def test_what_cannot_be_read_is_said_in_a_sentence(
    address: str, path: str, known: str, secrets: dict[str, str], why: str
):
    with pytest.raises(BadInput, match=why) as refused:
        await read_sftp(f"{address}/{path}", known, **secrets)
    assert not any(secret in str(refused.value) for secret in ("open", "shut"))


@pytest.mark.parametrize(
    ("text", "keys", "why"),
    [
        ("sftp://files.example.com/p.csv", "k", "is no file at an SFTP server: write such as sftp://shop@"),
        ("sftp://shop@files.example.com/folder/", "k", "is no file at an SFTP server"),
        ("sftp://shop:open@files.example.com/p.csv", "k", "must not hold a password"),
        ("sftp://shop@files.example.com:x/p.csv", "k", "is no file at an SFTP server"),
        ("sftp://shop@files.example.com/p.csv", None, "set SCENARIO_SFTP_HOST_KEYS to the public key of files."),
    ],
)
def test_what_names_no_file_at_a_server_is_refused(text: str, keys: str | None, why: str):
    with pytest.raises(BadInput, match=why):
        SftpPlace.read(text, Settings(sftp_host_keys=keys))


async def test_an_address_of_metadata_is_never_called():
    with pytest.raises(BadInput, match="is at an address that may not be called"):
        await read_sftp("sftp://shop@169.254.169.254/p.csv", public(SERVER), **{PASSWORD: "open"})
