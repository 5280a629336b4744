"""Messages come in by real SMTP and lie in the folder, byte for byte."""

import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

import aiosmtplib
import pytest

from runtime.errors import NotInstalled, PortInUse
from runtime.local import inbox
from runtime.local.inbox import Inbox
from runtime.process.ports import HOST

MAIL = (
    b"From: shop@example.com\r\nTo: ann@example.com\r\nSubject: =?utf-8?q?Merci_=C3=A9?=\r\n"
    b"Message-ID: <msg_2ab@example.com>\r\n\r\nBonjour\r\n.one dot\r\n..two dots\r\n\r\n  spaces  \r\n"
)


async def send(box: Inbox, data: bytes) -> None:
    await aiosmtplib.send(
        data,
        sender="shop@example.com",
        recipients=["ann@example.com"],
        hostname=HOST,
        port=int(box.url.rpartition(":")[2]),
        start_tls=False,
    )


async def test_a_message_is_kept_as_it_came(folder: Path):
    async with Inbox(folder) as box:
        before = datetime.now(UTC)
        await send(box, MAIL)
        [mail] = box.messages()
    assert mail.data == MAIL
    assert mail.path.read_bytes() == MAIL
    assert mail.path.name.endswith("-msg_2ab-example.com.eml")
    assert before <= mail.at <= datetime.now(UTC)
    assert mail.message["subject"] == "Merci é"


async def test_messages_are_listed_in_their_order_and_outlive_the_server(folder: Path):
    async with Inbox(folder) as box:
        for number in range(3):
            await send(box, MAIL.replace(b"Bonjour", b"Bonjour %d" % number))
    assert [mail.message.get_content().splitlines()[0] for mail in inbox.messages(folder)] == [
        "Bonjour 0",
        "Bonjour 1",
        "Bonjour 2",
    ]


@pytest.mark.parametrize(
    ("message_id", "name"),
    [
        (b"<../../etc/passwd@x>", "etc-passwd-x"),
        (b"", "message"),
        (b"<" + b"a" * 400 + b"@x>", "a" * 120),
        (b"=?utf-8?q?=C3=A9?=", "utf-8-q-C3-A9"),
    ],
)
def test_a_message_id_names_a_file_of_the_folder(tmp_path: Path, message_id: bytes, name: str):
    path = inbox.keep(
        tmp_path, b"Message-ID: " + message_id + b"\r\n\r\nx", datetime(2026, 3, 29, 1, 2, 3, 4, tzinfo=UTC)
    )
    assert path == tmp_path / f"20260329T010203.000004Z-{name}.eml"


def test_the_same_message_twice_in_a_moment_is_two(tmp_path: Path):
    at = datetime(2026, 3, 29, tzinfo=UTC)
    assert [inbox.keep(tmp_path, MAIL, at).name for _ in range(3)] == [
        "20260329T000000.000000Z-msg_2ab-example.com.eml",
        "20260329T000000.000000Z-msg_2ab-example.com-2.eml",
        "20260329T000000.000000Z-msg_2ab-example.com-3.eml",
    ]
    assert len(inbox.messages(tmp_path)) == 3


def test_files_of_others_are_left_alone(tmp_path: Path):
    (tmp_path / "20260329T000000.000000Z-sms.json").write_text("{}")
    (tmp_path / "draft.eml").write_text("x")
    assert inbox.messages(tmp_path) == []
    assert inbox.messages(tmp_path / "nowhere") == []


async def test_a_port_in_use_is_named(folder: Path):
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            async with Inbox(folder, port=port):
                pass
    assert str(caught.value) == (
        f"port {port} is in use by another program: stop that program, or choose another port for the local inbox"
    )


async def test_without_aiosmtpd_it_says_how_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "aiosmtpd.smtp", None)
    with pytest.raises(NotInstalled, match=r"^the local inbox is not installed: add it with `pip install aiosmtpd`"):
        async with Inbox(folder):
            pass
