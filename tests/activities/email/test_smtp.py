"""Handing messages to a mail server."""

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from activities.email.errors import MailError, MailRefused, MailServerPaused, MailUnanswered, MailUnreachable
from activities.email.message import Envelope
from activities.email.settings import Encryption, Server, parse_server
from activities.email.smtp import Mailer, Reply, mailer_from
from runtime.errors import SettingsError
from tests.activities.conftest import Timeouts

LETTER = Envelope(
    sender="news@shop.example", recipient="zoe@example.com", message=b"Subject: Hi\r\n\r\n.dot\r\n..two\r\n.\r\nend\r\n"
)


async def failing(mailer: Mailer, *, envelope: Envelope = LETTER, within: float = 60) -> MailError:
    with pytest.raises(MailError) as caught:
        await mailer.send(envelope, within=within)
    return caught.value


async def test_a_message_arrives_byte_by_byte(mail_server: Any, mailer: Any):
    received = await mail_server()
    left: list[int] = []

    async def leaving() -> None:
        left.append(len(received.mails))

    reply = await (await mailer(received)).send(LETTER, within=60, leaving=leaving)
    assert (reply, left) == (Reply(250, "OK"), [0])
    [mail] = received.mails
    assert (mail.mail_from, mail.rcpt_tos, mail.content) == ("news@shop.example", ["zoe@example.com"], LETTER.message)


async def test_messages_at_once_go_over_as_many_connections_as_there_may_be(mail_server: Any, mailer: Any):
    received = await mail_server()
    post = await mailer(received, connections=2)
    await asyncio.gather(*(post.send(LETTER, within=60) for _ in range(8)))
    assert (len(received.mails), received.connections) == (8, 2)


async def test_an_address_that_is_not_ascii_goes_to_a_server_that_takes_it(mail_server: Any, mailer: Any):
    letter = replace(LETTER, recipient="zoé@example.com", utf8=True)
    received = await mail_server(enable_SMTPUTF8=True)
    await (await mailer(received)).send(letter, within=60)
    assert received.mails[0].rcpt_tos == ["zoé@example.com"]
    error = await failing(await mailer(await mail_server()), envelope=letter)
    assert isinstance(error, MailRefused)
    assert (error.word, error.verdict.final) == ("no_smtputf8", True)


class TestEncryption:
    async def test_from_the_first_byte(self, mail_server: Any, mailer: Any, certified: Any, trusting: ssl.SSLContext):
        received = await mail_server(tls=certified("127.0.0.1"))
        assert await (await mailer(received, tls=trusting)).send(LETTER, within=60) == Reply(250, "OK")

    @pytest.mark.parametrize(
        ("how", "name", "trusted"),
        [("tls", "other.example", True), ("tls_context", "other.example", True), ("tls_context", "127.0.0.1", False)],
    )
    async def test_needs_a_certificate_for_that_server_that_is_trusted(
        self, mail_server: Any, mailer: Any, certified: Any, trusting: ssl.SSLContext,
        how: str, name: str, trusted: bool,
    ):  # fmt: skip
        received = await mail_server(**{how: certified(name)})
        error = await failing(await mailer(received, **({"tls": trusting} if trusted else {})))
        assert isinstance(error, MailUnreachable)
        assert (error.word, received.mails) == ("tls_failed", [])

    async def test_by_starttls_with_an_authority_of_ones_own(
        self, mail_server: Any, mailer: Any, certified: Any, authority: trustme.CA, tmp_path: Path
    ):
        received = await mail_server(tls_context=certified("127.0.0.1"), require_starttls=True)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        server = replace(received.server, ca=str(tmp_path / "ca.pem"))
        assert await (await mailer(server)).send(LETTER, within=60) == Reply(250, "OK")

    async def test_that_is_offered_and_refused_has_its_own_sentence(self, faulty_server: Any, mailer: Any):
        faulty = await faulty_server(EHLO="250-mail.test\r\n250 STARTTLS", STARTTLS="454 not now")
        error = await failing(await mailer(faulty))
        assert isinstance(error, MailUnreachable)
        assert (error.word, error.status, error.misconfigured) == ("starttls_refused", 454, False)
        assert str(error) == "The mail server 127.0.0.1 refused to begin the encryption that it offers"

    async def test_is_asked_of_any_other(self, mail_server: Any, mailer: Any, monkeypatch: pytest.MonkeyPatch):
        received: Any = await mail_server()
        monkeypatch.setattr(Server, "local", False)
        assert (await failing(await mailer(received))).word == "starttls_missing"
        assert received.mails == []
        off = replace(received.server, encryption=Encryption.NONE)
        assert await (await mailer(off)).send(LETTER, within=60) == Reply(250, "OK")


class TestLogin:
    async def test_works(self, mail_server: Any, mailer: Any, login: Any, certified: Any, trusting: ssl.SSLContext):
        received = await mail_server(authenticator=login, auth_required=True, tls_context=certified("127.0.0.1"))
        server = replace(received.server, user="shop", password="p@ss:word")
        assert await (await mailer(server, tls=trusting)).send(LETTER, within=60) == Reply(250, "OK")

    async def test_that_is_not_offered_sends_nothing(self, mail_server: Any, mailer: Any, login: Any):
        received = await mail_server(authenticator=login)
        error = await failing(await mailer(replace(received.server, user="shop", password="p@ss:word")))
        assert isinstance(error, MailUnreachable)
        assert (error.word, error.status, received.mails) == ("login_missing", None, [])


class TestALoginThatIsRefused:
    """It is tried for all messages together, after pauses that double: servers lock accounts."""

    OFFER = "250-mail.test\r\n250 AUTH PLAIN"

    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        seconds = [1_000.0]
        monkeypatch.setattr("activities.email.smtp.time.monotonic", lambda: seconds[0])
        return seconds

    def logins(self, faulty: Any) -> int:
        return sum(conversation.count("AUTH") for conversation in faulty.seen)

    async def post(self, faulty_server: Any, mailer: Any, *answers: str) -> tuple[Any, Mailer]:
        faulty = await faulty_server(EHLO=self.OFFER, AUTH=list(answers))
        return faulty, await mailer(replace(faulty.server, user="shop", password="wrong"))

    @pytest.mark.usefixtures("clock")
    async def test_is_not_tried_for_each_message(self, faulty_server: Any, mailer: Any):
        faulty, post = await self.post(faulty_server, mailer, *["535 no"] * 9)
        errors = await asyncio.gather(*(failing(post) for _ in range(8)))
        assert sorted(error.word for error in errors) == ["login_left_alone"] * 7 + ["login_refused"]
        assert isinstance(await failing(post), MailServerPaused)
        assert (self.logins(faulty), len(faulty.seen)) == (1, 1)

    async def test_is_tried_again_after_a_pause_that_doubles(self, faulty_server: Any, mailer: Any, clock: list[float]):
        faulty, post = await self.post(faulty_server, mailer, *["535 no"] * 6, "235 come in")
        pauses: list[float] = []
        for _ in range(6):
            assert (await failing(post)).word == "login_refused"
            alone = await failing(post)
            assert isinstance(alone, MailServerPaused)
            pauses.append(alone.seconds)
            clock[0] += alone.seconds
        assert pauses == [60, 120, 240, 480, 600, 600]
        assert await post.send(LETTER, within=60) == Reply(250, "fine")
        assert self.logins(faulty) == 7

    async def test_by_several_conversations_at_once_is_one_that_is_refused(
        self, faulty_server: Any, mailer: Any, clock: list[float]
    ):
        faulty, post = await self.post(faulty_server, mailer, "235 come in", *["535 no"] * 6)
        await post.send(LETTER, within=60)
        clock[0] += post.idle + 1
        errors = await asyncio.gather(*(failing(post) for _ in range(4)))
        assert [error.word for error in errors] == ["login_refused"] * 4
        pauses: list[float] = []
        for _ in range(2):
            alone = await failing(post)
            assert isinstance(alone, MailServerPaused)
            pauses.append(alone.seconds)
            clock[0] += alone.seconds
            await failing(post)
        assert pauses == [60, 120]
        assert self.logins(faulty) == 7

    async def test_does_not_end_the_conversations_that_are_under_way(
        self, faulty_server: Any, mailer: Any, clock: list[float]
    ):
        faulty, post = await self.post(faulty_server, mailer, "235 come in", "535 no", "235 come in")
        faulty.acts["MAIL"] = ["", "hang", "", ""]
        await post.send(LETTER, within=60)
        kept = asyncio.create_task(post.send(LETTER, within=60))
        await faulty.hanging.wait()
        assert (await failing(post)).word == "login_refused"
        kept.cancel()
        clock[0] += 60
        assert await post.send(LETTER, within=60) == Reply(250, "fine")
        assert self.logins(faulty) == 3

    @pytest.mark.parametrize("answer", ["454 later", "drop"])
    async def test_for_now_is_no_matter_of_the_password(self, faulty_server: Any, mailer: Any, answer: str):
        _, post = await self.post(faulty_server, mailer, answer, "235 come in")
        error = await failing(post)
        assert isinstance(error, MailUnreachable)
        assert not error.misconfigured
        assert await post.send(LETTER, within=60) == Reply(250, "fine")


class TestRefusals:
    @pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA", "TEXT"])
    @pytest.mark.parametrize(("code", "permanent"), [(451, False), (550, True)])
    async def test_at_any_command(self, faulty_server: Any, mailer: Any, command: str, code: int, permanent: bool):
        faulty = await faulty_server(**{command: f"{code} <zoe@example.com> no"})
        error = await failing(await mailer(faulty))
        assert isinstance(error, MailRefused)
        assert (error.status, error.verdict.final, error.reply) == (code, permanent, "<zoe@example.com> no")
        assert str(error) == f"127.0.0.1 answered {code}"
        assert error.sender == (command == "MAIL")

    async def test_of_the_sender_are_not_against_the_recipient(self, faulty_server: Any, mailer: Any):
        error = await failing(await mailer(await faulty_server(MAIL="550 5.1.1 sender unknown")))
        assert error.verdict.final
        assert error.verdict.against is None

    async def test_do_not_cost_the_connection(self, mail_server: Any, mailer: Any):
        received = await mail_server()
        post = await mailer(received)
        for command in ("RCPT", "DATA"):
            received.reply = {command: "550 no"}
            await failing(post)
        received.reply = {}
        assert await post.send(LETTER, within=60) == Reply(250, "OK")
        assert received.connections == 1


class TestAConversationThatBreaks:
    @pytest.mark.parametrize(
        ("acts", "word"),
        [
            ({"CONNECT": "drop"}, "connect_failed"),
            ({"CONNECT": "554 no service"}, "greeting_refused"),
            ({"CONNECT": "hello"}, "protocol_error"),
            ({"EHLO": "drop"}, "disconnected"),
            ({"MAIL": "drop"}, "disconnected"),
            ({"RCPT": "drop"}, "disconnected"),
            ({"RCPT": "what?"}, "protocol_error"),
            ({"DATA": "drop"}, "disconnected"),
            ({"CONNECT": "hang"}, "timeout"),
            ({"DATA": "hang"}, "timeout"),
        ],
    )
    async def test_before_the_message_left(self, faulty_server: Any, mailer: Any, acts: dict[str, str], word: str):
        faulty = await faulty_server(**acts)
        error = await failing(await mailer(faulty), within=0.2 if word == "timeout" else 60)
        assert isinstance(error, MailUnreachable)
        assert (error.word, faulty.texts) == (word, [])

    @pytest.mark.parametrize(("act", "word"), [("drop", "drop_after_data"), ("hang", "no_answer"), ("?", "no_answer")])
    async def test_after_the_message_left(
        self, faulty_server: Any, mailer: Any, out_of_time: Timeouts, act: str, word: str
    ):
        faulty = await faulty_server(TEXT=act)
        sending = asyncio.create_task(failing(await mailer(faulty)))
        if act == "hang":
            await faulty.hanging.wait()
            out_of_time()
        error = await sending
        assert isinstance(error, MailUnanswered)
        assert (error.word, len(faulty.texts), len(faulty.seen)) == (word, 1, 1)

    async def test_where_nothing_listens(self, mailer: Any, unused_tcp_port: int):
        error = await failing(await mailer(Server("127.0.0.1", unused_tcp_port)))
        assert (type(error), error.word) == (MailUnreachable, "connect_refused")


async def test_a_message_that_waits_for_a_connection_has_its_whole_time_once_it_has_one(
    faulty_server: Any, mailer: Any, out_of_time: Timeouts
):
    faulty = await faulty_server(MAIL=["hang"])
    post = await mailer(faulty, connections=1)
    first = asyncio.create_task(post.send(LETTER, within=60))
    await faulty.hanging.wait()
    second = asyncio.create_task(post.send(LETTER, within=60))
    await asyncio.sleep(0.01)
    assert len(out_of_time) == 1
    first.cancel()
    assert await second == Reply(250, "fine")
    assert len(out_of_time) == 2


class TestAConnectionThatTheServerClosedMeanwhile:
    @pytest.mark.parametrize("act", ["drop", "421 good night"])
    async def test_is_replaced_within_the_attempt(self, faulty_server: Any, mailer: Any, act: str):
        faulty = await faulty_server(MAIL=["", act])
        post = await mailer(faulty)
        assert [await post.send(LETTER, within=60) for _ in range(2)] == [Reply(250, "fine")] * 2
        assert [conversation[-1] for conversation in faulty.seen] == ["MAIL", "TEXT"]

    async def test_is_replaced_where_a_refused_message_was_the_last(self, faulty_server: Any, mailer: Any):
        faulty = await faulty_server(RCPT=["550 nobody"], RSET="421 good night")
        post = await mailer(faulty)
        await failing(post)
        assert await post.send(LETTER, within=60) == Reply(250, "fine")
        assert len(faulty.seen) == 2

    @pytest.mark.parametrize("command", ["RCPT", "DATA"])
    @pytest.mark.parametrize(("act", "word", "status"), [("421 go away", "", 421), ("drop", "disconnected", None)])
    async def test_is_not_one_that_is_closed_because_of_the_message(
        self, faulty_server: Any, mailer: Any, command: str, act: str, word: str, status: int | None
    ):
        faulty = await faulty_server(MAIL=["", "hang", "", ""], **{command: ["", "", act]})
        post = await mailer(faulty)
        # Two connections, of which one is idle while the other is used.
        await post.send(LETTER, within=60)
        other = asyncio.create_task(post.send(LETTER, within=60))
        await faulty.hanging.wait()
        await post.send(LETTER, within=60)
        error = await failing(post)
        assert (error.word, error.status, len(faulty.seen)) == (word, status, 2)
        other.cancel()

    @pytest.mark.parametrize(
        ("command", "acts", "error", "texts", "conversations"),
        [("MAIL", ["", "drop", "drop"], MailUnreachable, 1, 2), ("TEXT", ["", "drop"], MailUnanswered, 2, 1)],
    )
    async def test_is_replaced_once_and_not_once_the_message_left(
        self, faulty_server: Any, mailer: Any, command: str, acts: list[str], error: type[MailError],
        texts: int, conversations: int,
    ):  # fmt: skip
        faulty = await faulty_server(**{command: acts})
        post = await mailer(faulty)
        await post.send(LETTER, within=60)
        assert isinstance(await failing(post), error)
        assert (len(faulty.texts), len(faulty.seen)) == (texts, conversations)

    async def test_is_not_even_tried_after_a_while(self, mail_server: Any, mailer: Any):
        received = await mail_server()
        post = await mailer(received)
        post.idle = -1
        for _ in range(2):
            await post.send(LETTER, within=60)
        assert received.connections == 2


async def test_a_message_that_is_cut_short_leaves_no_half_conversation_behind(faulty_server: Any, mailer: Any):
    faulty = await faulty_server(RCPT=["hang", ""])
    post = await mailer(faulty)
    task = asyncio.create_task(post.send(LETTER, within=60))
    await faulty.hanging.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await post.send(LETTER, within=60) == Reply(250, "fine")
    assert len(faulty.seen) == 2


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.shop.example", Server("mail.shop.example", 587)),
        ("smtp://mail.shop.example:25/", Server("mail.shop.example", 25)),
        ("smtps://mail.shop.example", Server("mail.shop.example", 465, Encryption.IMPLICIT)),
        ("smtp://127.0.0.1:1025?tls=off", Server("127.0.0.1", 1025, Encryption.NONE)),
        ("smtp://a%40b.c:p%3Ass%2F@mail.shop.example:587",
         Server("mail.shop.example", 587, user="a@b.c", password="p:ss/")),
        ("smtp://[::1]:1025", Server("::1", 1025)),
        ("smtp://mail.shop.example?ca=/etc/ca.pem", Server("mail.shop.example", 587, ca="/etc/ca.pem")),
        ("smtps://mail.shop.example?ca=my%20ca.pem",
         Server("mail.shop.example", 465, Encryption.IMPLICIT, ca="my ca.pem")),
    ],
)  # fmt: skip
def test_a_server_is_read_from_its_url(url: str, server: Server):
    assert parse_server(url) == server
    assert not server.password or server.password not in repr(server)


@pytest.mark.parametrize(
    "url",
    ["", "mail.shop.example", "http://secret@mail", "smtp://", "smtp://h:0x", "smtp://h/path", "smtp://h?tls=on",
     "smtps://h?tls=off", "smtp://h?ca=", "smtp://h?tls=off&ca=/secret", "smtp://h?ca=/secret&ca=/b",
     "smtp://h?tls=", "smtp://h?secret", "smtp://[secret", "smtp://h:0", "smtp://user:1#secret@h"],
)  # fmt: skip
def test_a_url_that_is_none_is_refused_without_being_quoted(url: str):
    with pytest.raises(SettingsError, match="SCENARIO_SMTP") as caught:
        parse_server(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "local"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("10.0.0.1", False),
     ("mail.shop.example", False), ("localhost.shop.example", False)],
)  # fmt: skip
def test_only_this_machine_is_local(host: str, local: bool):
    assert Server(host, 25).local == local


@pytest.mark.parametrize("content", [None, "secret"])
def test_an_authority_that_cannot_be_read_is_a_mistake_of_the_setting(tmp_path: Path, content: str | None):
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(SettingsError, match=r"^SCENARIO_SMTP: \?ca= must name a file of certificates") as caught:
        mailer_from(f"smtp://mail.shop.example?ca={tmp_path}/ca.pem", "news@shop.example")
    assert str(tmp_path) not in str(caught.value)
