"""Cursors come back as they went out, and anything else is a mistake at its place."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import UTC, datetime

import pytest
from typing_extensions import TypedDict

from gateway.api.problem import problem_of
from gateway.errors import BadCursor
from gateway.service.view import decode_cursor, encode_cursor


class Place(TypedDict):
    at: datetime
    id: str


PLACE: Place = {"at": datetime(2026, 11, 27, 9, 30, 0, 123456, tzinfo=UTC), "id": "welcome/7"}


def encoded(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def test_it_comes_back_as_it_went_out() -> None:
    cursor = encode_cursor(PLACE)
    assert cursor.isascii()
    assert "=" not in cursor
    assert decode_cursor(cursor, Place) == PLACE


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "\udcff", "%%%", *map(encoded, ("[]", "{}", '{"at": "yesterday", "id": "a"}', "[" * 1500))]
)
def test_another_one_is_a_mistake_at_its_place(cursor: str) -> None:
    with pytest.raises(BadCursor) as caught:
        decode_cursor(cursor, Place)
    problem = problem_of(caught.value)
    assert problem.status_code == 422
    assert [mistake.pointer for mistake in problem.errors] == ["query:cursor"]
