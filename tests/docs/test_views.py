"""The reference of the JSON of reads: every key of every view has a description."""

from __future__ import annotations

from docs.reference import VIEWS, views
from tests.gateway.journey import HELD, shown


def test_every_key_is_described() -> None:
    page = "\n".join(views())
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    assert [key for key, meaning in rows if not meaning.strip()] == []
    keys = {key.strip(" `") for key, _ in rows}
    journey = shown(HELD)
    assert {*journey, *journey["steps"][0], *journey["deliveries"][0]} <= keys
    assert all(f"## {title}" in page for title in VIEWS)
