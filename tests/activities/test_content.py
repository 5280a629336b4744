"""Published versions as activities read them."""

from __future__ import annotations

import pytest

from activities.content import Content, UnknownVersion
from tests.fakes import Shelf, Version


class Counted(Shelf):
    reads = 0

    async def version(self, scenario: str, version: int) -> Version | None:
        self.reads += 1
        return await super().version(scenario, version)


async def test_a_version_is_read_once_whether_it_is_named_or_the_newest() -> None:
    shelf = Counted({"exit": "done"})
    content = Content(shelf)
    first = await content.open("post-purchase")
    assert (first.version, shelf.reads) == (3, 1)
    assert await content.open("post-purchase") is first
    assert await content.open("post-purchase", 3) is first
    assert shelf.reads == 1


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [("post-purchase", 4, "post-purchase@4 is not published"), ("other", None, "other is not published")],
)
async def test_what_was_never_published_is_named(name: str, version: int | None, said: str) -> None:
    with pytest.raises(UnknownVersion) as unknown:
        await Content(Shelf()).open(name, version)
    assert str(unknown.value) == said
