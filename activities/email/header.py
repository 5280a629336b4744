"""Header fields as they are written: encoded words where a text is not ASCII, short lines, never a field too many.

The `email` package's own folding (3.11 to 3.13) loses the blanks between two encoded words, and changes from one
release of Python to the next, when an attempt must send the bytes that the one before it sent.
"""

from __future__ import annotations

import re
from email.header import Header
from email.policy import Policy
from typing import Final

from scenario.mail_address import Mailbox

# Everything that ends a line for `str.splitlines`, which the email package uses, and every other control character.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Readable as it is: no words that a line cannot hold, nothing that looks like an encoded word (RFC 2047 §6.2).
_PLAIN: Final = re.compile(r"(?!.*=\?)(?:[\x20-\x7e]{0,60}|(?:[\x21-\x7e]{1,60} )*[\x21-\x7e]{1,60})")
_ATOMS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_LINE: Final = 76
_LONGEST: Final = 998
"""Characters of a line that a mail server must take (RFC 5322 §2.1.1)."""
_END: Final = "\r\n"


class HeaderField(str):
    """A header field's value, kept and written by `email.message.EmailMessage` as it is.

    Attributes:
        name: The field's name; the mark by which the package knows a finished value.
    """

    __slots__ = ("name",)

    def __new__(cls, name: str, value: str) -> HeaderField:
        field = super().__new__(cls, value)
        field.name = name
        return field

    def fold(self, *, policy: Policy) -> str:
        """The whole field, line ends included. Called by the package when it writes the message."""
        return f"{self.name}: {policy.linesep.join(self.split(_END))}{policy.linesep}"


def unstructured(name: str, text: str) -> HeaderField:
    """A field of free text, such as Subject.

    Args:
        name: The field's name.
        text: Control characters and line ends in it become a blank, so that no data can add a field.
    """
    return HeaderField(name, _encoded(name, _CONTROL.sub(" ", text).strip()))


def mailbox(name: str, box: Mailbox) -> HeaderField:
    """A field of one address, with its name where it has one."""
    shown = _CONTROL.sub(" ", box.name).strip()
    if not shown:
        return HeaderField(name, box.address)
    if _PLAIN.fullmatch(shown) and not _ATOMS.fullmatch(shown):
        quoted = shown.replace("\\", "\\\\").replace('"', '\\"')
        shown = f'"{quoted}"'
    else:
        shown = _encoded(name, shown)
    one_line = f"{shown} <{box.address}>"
    return HeaderField(name, one_line if len(name) + 2 + len(one_line) <= _LINE else f"{shown}{_END} <{box.address}>")


def address_list(name: str, url: str) -> HeaderField:
    """A field of one URL in angle brackets (RFC 2369 §2), which is never folded inside."""
    value = f"<{url}>"
    return HeaderField(name, value if len(name) + 2 + len(value) <= _LONGEST else f"{_END} {value}")


def _encoded(name: str, text: str) -> str:
    charset = "us-ascii" if _PLAIN.fullmatch(text) else "utf-8"
    return Header(text, charset, maxlinelen=_LINE, header_name=name).encode(linesep=_END)
