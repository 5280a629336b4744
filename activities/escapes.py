"""Resolves the escapes of JSON, URLs and HTML in a text, and remembers where each character was written."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

Span = tuple[int, int]

_LEVELS: Final = 5
"""How often escapes are resolved: JSON within a URL within JSON takes three."""
_HEXED: Final = r"\\x"


def _character(mark: str) -> str:
    """Return a pattern of one character in UTF-8 whose bytes are written as hex after `mark`."""
    more = rf"{mark}[89ab][0-9a-f]"
    return rf"{mark}(?:[cd][0-9a-f]{more}|e[0-9a-f](?:{more}){{2}}|f[0-7](?:{more}){{3}}|[0-9a-f]{{2}})"


_ESCAPES: Final = (
    rf"\\ud[89ab][0-9a-f]{{2}}\\ud[c-f][0-9a-f]{{2}}|\\u[0-9a-f]{{4}}|\\[\"'\\/bfnrt]|{_character(_HEXED)}",  # JSON
    rf"{_character('%')}|%u[0-9a-f]{{4}}",  # URLs
    r"&(?:#[0-9]{1,60}|#x[0-9a-f]{1,60}|[a-z][a-z0-9]{1,30});?",  # HTML
)
_ESCAPE: Final = re.compile("|".join(_ESCAPES), re.IGNORECASE)
_ONE_KIND: Final = tuple(re.compile(kind, re.IGNORECASE) for kind in _ESCAPES)
_PART: Final = re.compile(r"[\\%&;#\w]", re.ASCII)
_CONTROLS: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class NestedTooDeeply(ValueError):
    """Escapes are within each other more often than a text is searched."""


@dataclass(frozen=True, slots=True)
class View:
    """A text with its escapes resolved, and where each of its characters begins and ends in the original.

    Without `begins` and `ends` it is the original. `fresh` are the characters that were escaped.
    """

    text: str
    begins: Sequence[int] = ()
    ends: Sequence[int] = ()
    fresh: str = ""
    resolved: bool = False

    def origin(self, span: Span) -> Span:
        return (self.begins[span[0]], self.ends[span[1] - 1]) if self.begins else span


def views_of(text: str) -> Iterator[View]:
    """Yield a text as it is, and with its escapes resolved again and again.

    Escapes of one kind may be within those of another, which must be resolved first. So each kind is tried as the
    outermost one, if what was escaped may be a part of an escape.

    Raises:
        NestedTooDeeply: Escapes are left after `_LEVELS` times.
    """
    whole = View(text)
    starts = [whole]
    if (first := _resolve_all(whole)) is not None and _PART.search(first.fresh):
        outer = [view for kind in _ONE_KIND if (view := _resolve_all(whole, kind)) is not None]
        starts = [*outer, whole] if len(outer) > 1 else starts
    seen: set[str] = set()
    for start in starts:
        view: View | None = start
        for _ in range(_LEVELS + 1):
            if view is None or view.text in seen:
                break
            seen.add(view.text)
            deeper = _resolve_all(view)
            yield view if deeper else replace(view, resolved=True)
            view = deeper
        else:
            if view is not None:
                raise NestedTooDeeply


def without(view: View, pattern: re.Pattern[str]) -> View:
    """Return the view without what a pattern finds."""
    return _resolve_all(view, pattern, lambda _: "") or view


def _resolve_all(
    view: View, kind: re.Pattern[str] = _ESCAPE, resolve: Callable[[str], str] | None = None
) -> View | None:
    """Return the view with its escapes resolved once, or None if it has none."""
    resolve = resolve or _resolved
    parts: list[str] = []
    begins: list[int] = []
    ends: list[int] = []
    done = 0
    old_begins, old_ends = view.begins or range(len(view.text)), view.ends or range(1, len(view.text) + 1)
    for found in kind.finditer(view.text):
        plain = resolve(found[0])
        if plain == found[0]:
            continue
        begin, end = found.span()
        parts += (view.text[done:begin], plain)
        begins += old_begins[done:begin]
        begins += [old_begins[begin]] * len(plain)
        ends += old_ends[done:begin]
        ends += [old_ends[end - 1]] * len(plain)
        done = end
    if not parts:
        return None
    begins += old_begins[done:]
    ends += old_ends[done:]
    return View("".join([*parts, view.text[done:]]), begins, ends, "".join(parts[1::2]))


@lru_cache(maxsize=1024)
def _resolved(escape: str) -> str:
    """Return what an escape, or a run of escapes of one kind, stands for."""
    kind = escape[:2].lower()
    if kind[0] == "&":
        plain = html.unescape(escape)
        return html.unescape(escape.lower()) if plain == escape else plain
    if kind in ("\\u", "%u"):
        data = bytes.fromhex(re.sub(r"[\\%]u", "", escape, flags=re.IGNORECASE))
        return data.decode("utf-16-be", errors="replace")
    if kind[0] == "\\" and kind != "\\x":
        return _CONTROLS.get(escape[1].lower(), escape[1])
    data = bytes.fromhex(re.sub(r"\\x|%", "", escape, flags=re.IGNORECASE))
    try:
        return data.decode()
    except UnicodeDecodeError:
        return escape  # the other bytes of the character may be escaped twice
