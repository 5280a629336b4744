"""What is made of an e-mail's HTML: the text it reads as, and its styles at the elements that they apply to.

Only the process of its own that `activities.email.sandbox` starts may import this: it loads parsers in C and Rust.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import css_inline
from selectolax.lexbor import SelectolaxError

from activities.email.sandbox import LENGTH, MEGABYTES, SECONDS
from activities.email.text import plain
from scenario.errors import LimitExceeded, TemplateError
from scenario.mail_limits import MAX_PART

_NOT_INLINED: Final = "the styles cannot be inlined"
_INLINER: Final = css_inline.CSSInliner(
    load_remote_stylesheets=False,
    # Media queries and hover states cannot be inlined, and readers that know them read the style element.
    keep_style_tags=True,
    keep_link_tags=True,
)


def inlined(html: str) -> str:
    """The HTML with the rules of its style elements at the elements they apply to, for readers that know no others.

    Nothing is fetched; HTML without a style element stays as it is.

    Args:
        html: The HTML, its elements nested no deeper than `scenario.mail_limits.MAX_NESTING`: this recurses.

    Raises:
        TemplateError: It cannot be done.
    """
    if "<style" not in html.lower():
        return html
    try:
        made = _INLINER.inline(html)
    except css_inline.InlineError:
        raise TemplateError(_NOT_INLINED) from None
    except Exception:
        raise
    except BaseException:  # a panic in Rust is not an Exception
        raise TemplateError(_NOT_INLINED) from None
    if len(made) > MAX_PART:
        raise LimitExceeded(f"with its styles inlined it has more than {MAX_PART:,} characters")
    return made


def serve() -> None:
    """Answers one HTML after the other, from standard input, until that is closed."""
    # Whoever stops the worker stops this by closing the input: a message under way still needs it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # it would hold somebody's e-mail
    with suppress(OSError, ValueError):  # macOS has neither the file nor the limit
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + MEGABYTES * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    # Whoever started this reads there why it could not begin. From here on it might be something of an e-mail.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while length := source.read(LENGTH):
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            answer = _answer(source.read(int.from_bytes(length, "big")).decode())
        except (MemoryError, SelectolaxError):
            os.abort()  # as the parsers do themselves
        signal.setitimer(signal.ITIMER_PROF, 0)
        target.write(len(answer).to_bytes(LENGTH, "big") + answer)
        target.flush()


def _answer(html: str) -> bytes:
    try:
        made = {"text": plain(html), "html": inlined(html)}
    except TemplateError as error:
        made = {"reason": error.reason}
    return json.dumps(made, ensure_ascii=False).encode()
