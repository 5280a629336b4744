"""The page of deliveries."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from runtime.store import AdmissionRequest, Attempt
from tests.gateway.journey import attempt
from tests.gateway.pages.conftest import Site

NOW = datetime.now(UTC)


def made(number: int, **more: object) -> Attempt:
    """An attempt so many minutes ago."""
    at = NOW - timedelta(minutes=number)
    one = attempt("hook", 1, workflow_id=f"a/{number}", delivery_id=f"msg_{number}", contact_id=str(number))
    return replace(one, started_at=at, scenario="a", **more)  # pyright: ignore[reportArgumentType]


async def test_attempts_are_listed_the_newest_first_and_page_by_page(site: Site):
    await site.store.record([made(number, outcome="delivered", next_try_at=None) for number in range(120)])
    await site.store.record([replace(made(1), scenario="b")])
    await site.sign_in("read", scenarios=["a"])
    read = await site.column("/deliveries", "Recorded attempts, newest first", 1)
    assert read == [f"a/{number}" for number in range(120)]


async def test_the_next_attempt_is_told_where_it_is_still_to_come(site: Site):
    request = AdmissionRequest("a", 1, "1", None, "a/1", "r1", "always", NOW - timedelta(hours=1), "order")
    await site.store.admit(request)
    due = NOW.replace(microsecond=0) + timedelta(hours=2, minutes=30)
    failed = {"outcome": "retry", "status": 503, "error": "http_503", "next_try_at": due}
    await site.store.record([made(1, **failed), made(2, **failed)])  # the second journey is over
    await site.sign_in("read")
    first, second = (await site.get("/deliveries")).rows("Recorded attempts, newest first")
    assert first[4:8] == ["1", "retry", "503", ""]
    assert first[8] == f"{due:%a %Y-%m-%d %H:%M:%S} in 2 h"
    assert second[8] == ""


FILTERS: list[tuple[str, list[str]]] = [
    ("journey=a/1", ["a/1"]),
    ("contact=2", ["a/2"]),
    ("scenario=a&step=hook", ["a/1", "a/2", "a/3"]),
    ("destination=crm", ["a/3"]),
    ("outcome=failed", ["a/2"]),
    (f"since={NOW - timedelta(seconds=150):%Y-%m-%dT%H:%M:%S}", ["a/1", "a/2"]),
    ("scenario=b&since=30d", ["b/1"]),
    ("scenario=b&version=4&since=30d", ["b/1"]),
    ("scenario=b&version=2&since=30d", []),
    ("scenario=b&since=5d", []),
    ("destination=%3Cb%3E", []),
]


async def test_attempts_are_found_by_what_is_asked_for(site: Site):
    long_ago = replace(made(4, workflow_id="b/1"), scenario="b", version=4, started_at=NOW - timedelta(days=20))
    await site.store.record([made(1), made(2, outcome="failed"), made(3, destination="crm"), long_ago])
    await site.sign_in("read")
    for query, expected in FILTERS:
        page = await site.get(f"/deliveries?{query}")
        found = page.rows("Recorded attempts, newest first") if expected else []
        assert [row[1] for row in found] == expected
        assert ("No attempt is recorded that matches" in page.text()) is not bool(expected)
        assert "<b>" not in page.html


async def test_without_an_index_only_the_last_days_are_looked_through(site: Site):
    await site.store.record([replace(made(1), started_at=NOW - timedelta(days=20))])
    await site.sign_in("read")
    page = await site.get("/deliveries?step=hook")
    assert "No attempt is recorded that matches within 7 days. Fill in Since to look further back." in page.text()
    for malformed in ("outcome=lost", "since=soon", "since=0001-01-01T00:00%2B23:00", "version=x", "after=x"):
        await site.get(f"/deliveries?{malformed}", status=422)
    typed = await site.get("/deliveries?step=hook&since=soon", status=422)
    assert typed.values("[aria-invalid]", "value") == ["soon"]
    assert typed.values("#by-step", "value") == ["hook"]
