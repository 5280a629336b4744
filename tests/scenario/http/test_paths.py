"""Paths that would lead elsewhere, and paths that only look so."""

import pytest

from scenario.http.urls import is_dotted


@pytest.mark.parametrize(
    "path",
    ["/.", "/..", "/a/../b", "/a/./b", "/%2E%2e/b", "/a%2F..", "/a%5c%2e./b", "/..%2Fadmin", "/..;/admin", "/x/..%3By"],
)
def test_a_part_of_dots_leads_elsewhere(path: str) -> None:
    assert is_dotted(path)


@pytest.mark.parametrize(
    "path",
    ["", "/", "//", "/a..b", "/...", "/.well-known/x", "/a%2Fb..%2F.c", "/x..y/...;z", "/a%2F.%2Fb", "/%252E%252E"],
)
def test_other_dots_are_characters_like_any(path: str) -> None:
    assert not is_dotted(path)
