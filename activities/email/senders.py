"""Allowed senders and reply addresses: SCENARIO_MAIL_FROM and SCENARIO_MAIL_FROM_ALLOWED."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from runtime.errors import SettingsError
from scenario.errors import NotConfigured, TemplateError
from scenario.mail_address import BadAddress, Mailbox, parse_address, parse_sender

ANY: Final = "*"
"""Stands for all domains."""


@dataclass(frozen=True)
class Senders:
    """Allowed senders.

    Attributes:
        default: The default sender. All addresses of its domain are allowed.
        allowed: Further domains and addresses.
    """

    default: Mailbox
    allowed: frozenset[str] = frozenset()

    @classmethod
    def configured(cls, sender: str, allowed: str | None) -> Senders:
        """Return the senders of the settings.

        Args:
            sender: SCENARIO_MAIL_FROM, ``Name <address>``.
            allowed: SCENARIO_MAIL_FROM_ALLOWED: domains and addresses, separated by commas.

        Raises:
            SettingsError: One of them is malformed. The message quotes neither.
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

        Args:
            key: The step's key.
            written: The output of its template.

        Raises:
            TemplateError: It is not a mailbox.
            NotConfigured: It is not allowed. The message does not quote it.
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
