"""Cursors come back as they went out, and anything else is a mistake at its place."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime

import pytest
from typing_extensions import TypedDict

from gateway.api.cursor import decode_cursor, encode_cursor
from gateway.api.problem import Problem


class Place(TypedDict):
    at: datetime
    id: str


PLACE: Place = {"at": datetime(2026, 11, 27, 9, 30, 0, 123456, tzinfo=UTC), "id": "welcome/7"}


def encoded(text: str | bytes) -> str:
    return urlsafe_b64encode(text if isinstance(text, bytes) else text.encode()).decode().rstrip("=")


def test_it_comes_back_as_it_went_out() -> None:
    cursor = encode_cursor(PLACE)
    assert cursor.isascii()
    assert "=" not in cursor
    assert decode_cursor(cursor, Place) == PLACE


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "\udcff",
        "%%%",
        encoded("[]"),
        encoded("{}"),
        encoded('{"at": "yesterday", "id": "a"}'),
        encoded("[" * 1500),
        encoded(b"\xff\xfe"),
    ],
)
def test_another_one_is_a_mistake_at_its_place(cursor: str) -> None:
    with pytest.raises(Problem) as caught:
        decode_cursor(cursor, Place)
    assert caught.value.status_code == 422
    assert [mistake.pointer for mistake in caught.value.errors] == ["query:cursor"]
