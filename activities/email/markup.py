"""Makes the plain text of an e-mail's HTML, and inlines its styles.

Only the child process of `activities.email.sandbox` may import this module: it loads parsers in C and Rust.
"""

from __future__ import annotations

import json
import os
from typing import Final

import css_inline
from selectolax.lexbor import SelectolaxError

from activities.email.sandbox import MEGABYTES, SECONDS
from activities.email.text import plain
from runtime.process.sandboxed import answer_requests
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
    """Copy the rules of style elements to the elements they apply to, for mail clients that ignore style elements.

    Nothing is fetched. HTML without a style element is returned unchanged.

    Args:
        html: HTML nested no deeper than `scenario.mail_limits.MAX_NESTING`: this recurses.

    Raises:
        TemplateError: The styles cannot be inlined, or the result is too large.
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
    """Answer requests, in the child process."""
    answer_requests(_answer, megabytes=MEGABYTES, cpu_seconds=SECONDS)


def _answer(html: bytes) -> bytes:
    try:
        text = html.decode()
        made = {"text": plain(text), "html": inlined(text)}
    except SelectolaxError:
        os.abort()  # as the parsers do themselves
    except TemplateError as error:
        made = {"reason": error.reason}
    return json.dumps(made, ensure_ascii=False).encode()
