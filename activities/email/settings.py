"""The settings of e-mail: the mail server (SCENARIO_SMTP), and the allowed senders (SCENARIO_MAIL_FROM, …_ALLOWED)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from runtime.errors import SettingsError
from scenario.errors import NotConfigured, TemplateError
from scenario.recipients import BadAddress, Mailbox, parse_address, parse_sender

_FORM = "SCENARIO_SMTP must look like smtp://user:password@host:587 or smtps://user:password@host:465"


class Encryption(Enum):
    """The encryption of a connection."""

    IMPLICIT = auto()
    """TLS from the first byte (RFC 8314)."""
    STARTTLS = auto()
    """STARTTLS (RFC 3207) is required; on this machine, only if the server offers it."""
    NONE = auto()
    """None: ``?tls=off``."""


@dataclass(frozen=True)
class Server:
    """A mail server."""

    host: str
    port: int
    encryption: Encryption = Encryption.STARTTLS
    user: str | None = None  # login name, or None
    password: str = field(default="", repr=False)  # password; not shown
    ca: str | None = None  # PEM file of the trusted authorities; None for those of the machine

    @property
    def local(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_server(url: str) -> Server:
    """Read a server's URL: ``smtp://user:password@host:587`` or ``smtps://…:465``.

    ``?tls=off`` disables encryption; ``?ca=/path`` names a private authority. Raise SettingsError, which does not quote
    it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        options = parse_qs(parts.query, strict_parsing=bool(parts.query), keep_blank_values=True)
    except ValueError:
        raise SettingsError(_FORM) from None
    # A password with a # in it that is not written %23 would end here.
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/") or "#" in url:
        raise SettingsError(_FORM)
    if port == 0:
        raise SettingsError(_FORM)
    off = options == {"tls": ["off"]} and parts.scheme == "smtp"
    ca = options["ca"][0] if list(options) == ["ca"] and len(options["ca"]) == 1 else None
    if options and not off and not ca:
        raise SettingsError(
            "SCENARIO_SMTP may end in ?ca=/path/of/ca.pem, or in ?tls=off after smtp://, and in nothing else"
        )
    plain = Encryption.NONE if off else Encryption.STARTTLS
    encryption = Encryption.IMPLICIT if parts.scheme == "smtps" else plain
    return Server(
        host=parts.hostname,
        port=port or (465 if encryption is Encryption.IMPLICIT else 587),
        encryption=encryption,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password or ""),
        ca=ca,
    )


ANY: Final = "*"
"""Stands for all domains."""


@dataclass(frozen=True)
class Senders:
    """Allowed senders."""

    default: Mailbox  # the default sender. All addresses of its domain are allowed.
    allowed: frozenset[str] = frozenset()

    @classmethod
    def configured(cls, sender: str, allowed: str | None) -> Senders:
        """Return the senders of SCENARIO_MAIL_FROM and SCENARIO_MAIL_FROM_ALLOWED, separated by commas.

        Raise SettingsError, which quotes neither.
        """
        wrong: list[str] = []
        default = Mailbox("")
        further: set[str] = set()
        try:
            default = parse_sender(sender)
        except BadAddress as error:
            wrong.append(f"SCENARIO_MAIL_FROM must be one sender such as Name <address@example.com>: {error}")
        try:
            further = {_entry(part.strip()) for part in (allowed or "").split(",") if part.strip()}
        except BadAddress:
            wrong.append(
                "SCENARIO_MAIL_FROM_ALLOWED must be domains and addresses with commas between them, "
                "such as shop.example, service@help.example"
            )
        if wrong:
            raise SettingsError("; ".join(wrong))
        return cls(default, frozenset(further))

    def named(self, key: str, written: str) -> Mailbox | None:
        """Return the mailbox that a step names, or None for an empty text.

        Raise TemplateError if it is not a mailbox, or NotConfigured, which does not quote it, if it is not allowed.
        """
        if not written.strip():
            return None
        try:
            box = parse_sender(written)
        except BadAddress as error:
            raise TemplateError(f"the e-mail's '{key}' must be an address, or Name <address>: {error}") from None
        if {ANY, box.domain.lower(), box.address.lower()}.isdisjoint({self.default.domain.lower(), *self.allowed}):
            raise NotConfigured(
                f"the address in the e-mail's '{key}' may not be used: its domain is not that of SCENARIO_MAIL_FROM; "
                "allow it in SCENARIO_MAIL_FROM_ALLOWED, or correct the scenario"
            )
        return box


def _entry(written: str) -> str:
    """Return a domain or an address for comparison."""
    if written == ANY:
        return ANY
    if "@" in written:
        return parse_address(written).address.lower()
    return parse_address(f"postmaster@{written}").domain.lower()
