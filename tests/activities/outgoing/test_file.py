"""Mistakes in `outgoing.yaml`, and what subscriptions get by default."""

from __future__ import annotations

import pytest

from activities.outgoing.file import examine
from scenario.words import EVENT_TYPES

SUBSCRIPTION = "subscriptions: {crm: {to: crm%s}}"
PAGES = "this is not the address of the pages: write such as https://scenario.example.com"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty: begin with 'feed: true' or 'subscriptions:'"),
        (SUBSCRIPTION % ", types: [journey.end]", "did you mean 'journey.ended'?"),
        (SUBSCRIPTION % ", types: []", "'types' is empty: it needs at least one entry"),
        ("subscriptions: {crm: {to: cmr}}", "there is no destination 'cmr' in destinations.yaml: there is crm"),
        *(
            (f"pages: '{url}'", PAGES)
            for url in ("scenario", "https://a:b@c", "https://a/?b=c", "https://a b", "https://a|b", "https://[a")
        ),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    findings, outgoing = examine(text, "outgoing.yaml", ["crm"])
    assert outgoing is None
    assert message in findings[0].message


def test_types_by_default() -> None:
    for preset, types in (("", EVENT_TYPES), (", preset: slack", ["journey.held"])):
        found = examine(SUBSCRIPTION % preset, "outgoing.yaml", ["crm"]).outgoing
        assert found is not None
        assert found.wanted == set(types)
