"""Outcomes of items, read from the response to a batch call."""

from typing import Any

import pytest
from pydantic import ValidationError

from scenario.model.batch import ItemResults, UnreadableResultsError

IDS = ["a", "b", "7"]
ACCEPTED = ("delivered", None)
UNSAID = ("unknown", "the response does not mention it")
STRANGE = ("unknown", "the response mentions an item that is not in the batch")
UNCOUNTED = ("unknown", "the response counts refused items that it does not list")
READ: list[tuple[dict[str, Any], Any, list[tuple[str, str | None]]]] = [
    # a list of refused items, as objects or as bare identifiers
    (
        {"list": "failures", "id": "touchpoint", "reason": "why"},
        {"failures": [{"touchpoint": "b", "why": "no such person"}]},
        [("delivered", None), ("refused", "no such person"), ("delivered", None)],
    ),
    (
        {"list": "invalid.ids"},
        {"invalid": {"ids": ["a", 7]}},
        [("refused", None), ("delivered", None), ("refused", None)],
    ),
    ({"list": "errors", "id": "id"}, {"received": 3}, [("delivered", None)] * 3),
    (
        {"list": "errors", "position": "at"},
        {"errors": [{"at": 1}, {"at": "2"}]},
        [("delivered", None), ("refused", None), ("refused", None)],
    ),
    # 207: a status an item, by identifier or in order
    (
        {"list": "results", "id": "key", "status": "code", "reason": "error.message"},
        {"results": [{"key": "b", "code": 200}, {"key": "a", "code": 404, "error": {"message": "gone"}}]},
        [("refused", "gone"), ("delivered", None), ("unknown", "the response does not mention it")],
    ),
    (
        {"status": "ok"},
        [{"ok": True}, {"ok": False}, {}],
        [("delivered", None), ("refused", "status false"), ("refused", None)],
    ),
    (
        {"status": "state", "ok": ["Accepted", 201]},
        [{"state": "accepted"}, {"state": 201}, {"state": 200}],
        [("delivered", None), ("delivered", None), ("refused", "status 200")],
    ),
    # a status for each refused item, and nothing about the others
    (
        {"list": "results", "id": "key", "status": "code", "others": "accepted"},
        {"results": [{"key": "b", "code": 429}]},
        [("delivered", None), ("refused", "status 429"), ("delivered", None)],
    ),
    ({"list": "results", "id": "key", "status": "code", "others": "accepted"}, {"results": None}, [ACCEPTED] * 3),
    ({"list": "errors", "others": "unknown"}, {"errors": ["a"]}, [("refused", None), UNSAID, UNSAID]),
    # an entry that matches no item may be about any of the others
    ({"list": "errors", "position": "at"}, {"errors": [{"at": 1}, {"at": 9}]}, [STRANGE, ("refused", None), STRANGE]),
    ({"list": "errors"}, {"errors": ["A"]}, [STRANGE] * 3),
    (
        {"id": "id", "status": "s", "others": "accepted"},
        [{"id": "a", "s": 200}, {"id": "b@example.com", "s": 404}],
        [ACCEPTED, STRANGE, STRANGE],
    ),
    # several identifiers in an entry, one of which is strange
    (
        {"list": "errors", "id": "context.ids", "reason": "message"},
        {"errors": [{"context": {"ids": ["a", 7]}, "message": "bad"}]},
        [("refused", "bad"), ACCEPTED, ("refused", "bad")],
    ),
    (
        {"list": "errors", "id": "context.ids"},
        {"errors": [{"context": {"ids": ["a", "x"]}}]},
        [("refused", None), STRANGE, STRANGE],
    ),
    ({"list": "errors", "id": "context.ids"}, {"errors": [{"context": {"ids": []}}]}, [STRANGE] * 3),
    # an object of lists
    (
        {"list": "failed"},
        {"failed": {"invalid": ["b"], "unknown": None, "gone": ["7"]}},
        [ACCEPTED, ("refused", None), ("refused", None)],
    ),
    ({"list": "failed"}, {"failed": {}}, [ACCEPTED] * 3),
    # steps into a list
    (
        {"list": "error.details.0.errors", "position": "path.0.index"},
        {"error": {"details": [{"errors": [{"path": [{"index": 1}]}]}]}},
        [ACCEPTED, ("refused", None), ACCEPTED],
    ),
    ({"list": "error.details.0.errors", "position": "path.0.index"}, {"error": None}, [ACCEPTED] * 3),
    # a number of refused items, with a list or without
    ({"count": "bad"}, {"bad": 0, "received": 3}, [ACCEPTED] * 3),
    ({"count": "bad"}, {"bad": 1, "received": 3}, [UNCOUNTED] * 3),
    ({"count": "bad"}, {"bad": "2"}, [UNCOUNTED] * 3),
    ({"count": "bad", "others": "unknown"}, {"bad": 0}, [UNSAID] * 3),
    ({"list": "errors", "count": "bad"}, {"bad": 1, "errors": ["a"]}, [("refused", None), ACCEPTED, ACCEPTED]),
    ({"list": "errors", "count": "bad"}, {"bad": 2, "errors": ["a"]}, [("refused", None), UNCOUNTED, UNCOUNTED]),
    ({"list": "errors", "count": "bad"}, {"bad": 2}, [UNCOUNTED] * 3),
    ({"list": "errors", "count": "bad"}, {"errors": ["a"]}, [("refused", None), ACCEPTED, ACCEPTED]),
    # an item that is refused and accepted was refused
    (
        {"id": "id", "status": "s"},
        [{"id": "a", "s": 400}, {"id": "a", "s": 200}, {"id": "b", "s": 200}, {"id": 7, "s": 200}],
        [("refused", "status 400"), ("delivered", None), ("delivered", None)],
    ),
]


@pytest.mark.parametrize(("keys", "answer", "expected"), READ)
def test_each_item_has_the_outcome_of_its_entry(keys: dict[str, Any], answer: Any, expected: list[Any]) -> None:
    assert [one[:2] for one in ItemResults(**keys).read(answer, IDS, 200)] == expected


def test_an_entry_without_an_identifier_is_not_about_an_item_without_one() -> None:
    outcomes = ItemResults(list="no", id="id").read({"no": [{"message": "bad"}]}, ["a", ""], 200)
    assert [one[:2] for one in outcomes] == [STRANGE] * 2


def test_items_with_the_same_identifier_share_an_outcome() -> None:
    assert [one.outcome for one in ItemResults(list="no").read({"no": ["a"]}, ["a", "b", "a"], 200)] == [
        "refused",
        "delivered",
        "refused",
    ]


@pytest.mark.parametrize(
    ("keys", "answer", "sentence"),
    [
        ({"status": "s"}, [{"s": 200}], "it has 1 results for 3 items"),
        ({"list": "results", "status": "s"}, {"result": []}, "it has no list at 'results'"),
        ({"list": "errors"}, {"errors": "none"}, "it has no list at 'errors'"),
        ({"id": "id"}, "accepted", "it is no list"),
        ({"list": "errors", "others": "unknown"}, {}, "it has no list at 'errors'"),
        ({"list": "errors"}, {"errors": {"a": "not found"}}, "it has no list at 'errors'"),
        ({}, {}, "it is no list"),
        (
            {"list": "e.details.0.errors"},
            {"e": {"details": [{"value": "…"}]}},
            "it has no list at 'e.details.0.errors'",
        ),
        ({"list": "e.details.0.errors"}, {"e": {"details": []}}, "it has no list at 'e.details.0.errors'"),
        ({"count": "bad"}, {}, "it has no number at 'bad'"),
        ({"count": "bad"}, {"bad": True}, "it has no number at 'bad'"),
        ({"list": "errors", "count": "bad"}, {"errors": [], "bad": "some"}, "it has no number at 'bad'"),
        ({"list": "errors", "id": "id", "status": "s", "others": "accepted"}, None, "it has no list at 'errors'"),
    ],
)
def test_a_response_without_results_is_unreadable(keys: dict[str, Any], answer: Any, sentence: str) -> None:
    with pytest.raises(UnreadableResultsError) as caught:
        ItemResults(**keys).read(answer, IDS, 200)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("answer", [{}, {"errors": None}])
def test_a_missing_list_of_refused_items_is_empty_up_to_207(answer: Any) -> None:
    results = ItemResults(list="errors")
    assert [one[:2] for one in results.read(answer, IDS, 207)] == [ACCEPTED] * 3
    with pytest.raises(UnreadableResultsError):
        results.read(answer, IDS, 208)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (
            {"status": "s", "others": "accepted"},
            "'others' needs 'id' or 'position': results in the order of the items have one for each item",
        ),
        ({"id": "a", "position": "b"}, "an entry names its item by 'id' or by 'position', not both"),
        *(
            (
                {"count": "n", name: "a"},
                "'count' without 'list' is about no item: leave out 'id', 'position', 'status' and 'reason'",
            )
            for name in ("id", "position", "status", "reason")
        ),
        ({"ok": [1]}, "'ok' goes with 'status': name the field that it is compared with"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        ItemResults(**keys)
