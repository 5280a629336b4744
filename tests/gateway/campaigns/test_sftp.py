"""Files at SFTP servers, read from a real server: only from servers whose keys are named, and only unchanged files."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from gateway.campaigns.sftp import KEY, PASSWORD, SftpPlace, sftp_parts
from gateway.errors import BadInput
from runtime.settings import Settings

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


async def read(place: str, known: str, **secrets: str) -> bytes:
    settings = Settings(sftp_host_keys=known)
    return b"".join([part async for part in sftp_parts(SftpPlace.read(place, settings), secrets)])


async def test_a_file_is_read_with_a_password_or_a_key(address: str) -> None:
    for secrets in ({PASSWORD: "open"}, {KEY: USER.export_private_key().decode()}):
        assert await read(f"{address}/people.csv", public(SERVER), **secrets) == CONTENT


async def test_a_file_that_changes_meanwhile_is_refused(address: str, tmp_path: Path) -> None:
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
) -> None:
    with pytest.raises(BadInput, match=why) as refused:
        await read(f"{address}/{path}", known, **secrets)
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
def test_what_names_no_file_is_refused(text: str, keys: str | None, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        SftpPlace.read(text, Settings(sftp_host_keys=keys))


async def test_an_address_of_metadata_is_never_called() -> None:
    with pytest.raises(BadInput, match="is at an address that may not be called"):
        await read("sftp://shop@169.254.169.254/p.csv", public(SERVER), **{PASSWORD: "open"})
