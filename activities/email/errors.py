"""Errors of handing over an e-mail.

    MailError
    ├── MailUnreachable       no connection, or lost before the message left: not sent
    │   └── MailServerPaused  not tried, because the server has just refused our login
    ├── MailRefused           the server refused, temporarily (4xx) or permanently (5xx): not sent
    └── MailUnanswered        the message left without an answer: it may have been delivered

Messages name at most the server's host: never an address, a user, a password or the server's own words, which often
contain the recipient's address. These are in `MailRefused.reply`, to be redacted.
"""

from __future__ import annotations

from typing import ClassVar, Final

from typing_extensions import override

from activities.outcome import Outcome, Verdict
from scenario.policies.suppression import against

NO_MAILER: Final = "e-mail is not configured: set SCENARIO_SMTP and SCENARIO_MAIL_FROM"
_LEFT_ALONE: Final = "The mail server {host} has refused the login, and is not tried for a while"
_CHECK_LOGIN: Final = "check user and password in SCENARIO_SMTP"
SENTENCES: Final[dict[str, str]] = {
    "dns_failed": "The mail server's name {host} could not be resolved: check SCENARIO_SMTP",
    "connect_refused": "The mail server {host} refused the connection: nothing listens on that port",
    "connect_timeout": "The mail server {host} did not accept the connection in time",
    "connect_failed": "The connection to the mail server {host} failed",
    "greeting_refused": "The mail server {host} does not serve us",
    "tls_failed": "The TLS handshake with the mail server {host} failed: check its certificate, or its port",
    "starttls_refused": "The mail server {host} refused to begin the encryption that it offers",
    "starttls_missing": "The mail server {host} offers no encryption, so nothing was sent: if that is meant, "
    "add ?tls=off to SCENARIO_SMTP",
    "login_refused": "The mail server {host} refused the login: " + _CHECK_LOGIN,
    "login_left_alone": f"{_LEFT_ALONE}: {_CHECK_LOGIN}",
    "login_missing": "The mail server {host} offers no login method that is supported: check the port in SCENARIO_SMTP",
    "disconnected": "The mail server {host} closed the connection before the message left",
    "timeout": "The mail server {host} was too slow, and the message did not leave",
    "protocol_error": "The mail server {host} answered something that is not SMTP",
    "no_smtputf8": "The mail server {host} takes no address with non-ASCII letters before the @",
    "no_answer": "The message left and the mail server {host} did not answer in time: it may have been delivered",
    "drop_after_data": "The message left and the mail server {host} closed the connection without an answer: "
    "it may have been delivered",
}
"""Sentences for the words, for Temporal's UI."""

UNANSWERED: Final = frozenset({"no_answer", "drop_after_data"})
"""Words after which the outcome is unknown."""
_OF_SETTINGS: Final = frozenset({"login_refused", "login_left_alone", "login_missing", "starttls_missing"})
_FOR_GOOD: Final = 500


class MailError(Exception):
    """A failed try to hand over an e-mail."""

    unknown: ClassVar[bool] = False  # True if it may have been delivered

    def __init__(self, word: str, host: str, *, status: int | None = None, reply: str = "") -> None:
        self.word = word  # the kind of failure: a key of `SENTENCES`, or ``""`` if the server's code says it
        self.status = status  # the server's reply code, or None
        self.reply = reply
        super().__init__(SENTENCES[word].format(host=host) if word else f"{host} answered {status}")

    @property
    def verdict(self) -> Verdict:
        return Verdict(Outcome.RETRY, self.word, self.unknown)


class MailUnreachable(MailError):
    """The message did not leave."""

    @property
    def misconfigured(self) -> bool:
        """True if only a configuration change can resolve it."""
        return self.word in _OF_SETTINGS and (self.status is None or self.status >= _FOR_GOOD)

    @property
    @override
    def verdict(self) -> Verdict:
        return Verdict(Outcome.RETRY_SHORT if self.misconfigured else Outcome.RETRY, self.word)


class MailServerPaused(MailUnreachable):
    """No connection was tried: every refused login brings the account closer to being locked."""

    then = _CHECK_LOGIN  # the remedy, as the other half

    def __init__(self, host: str, seconds: float) -> None:
        self.seconds, self.why = seconds, _LEFT_ALONE.format(host=host)  # `why` is half a sentence
        super().__init__("login_left_alone", host)


class MailRefused(MailError):
    """The server refused the message."""

    def __init__(
        self, word: str, host: str, *, status: int | None = None, reply: str = "", sender: bool = False
    ) -> None:
        self.sender = sender  # True if it refused the sender, so that it says nothing about the recipient
        super().__init__(word, host, status=status, reply=reply)

    @property
    @override
    def verdict(self) -> Verdict:
        """A permanent refusal is final: RFC 5321 §4.2.1, 5yz."""
        permanent = self.status is None or self.status >= _FOR_GOOD
        said = None if self.sender else against(self.status, self.reply)
        return Verdict(Outcome.PERMANENT if permanent else Outcome.RETRY, self.word, against=said)


class MailUnanswered(MailError):
    """The message left, and its outcome is unknown."""

    unknown = True
