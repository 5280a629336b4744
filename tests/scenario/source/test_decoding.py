"""A mistake in JSON is told in the same words and at the same place on every Python."""

import pytest

from scenario.source.decoding import DEPTH, NotJson, TooDeep, read_json

MANY = "there is one comma too many"


@pytest.mark.parametrize(
    ("text", "reason", "place"),
    [
        ('{"a": 1,}', MANY, (1, 8)),
        ('{"a": 1 ,\n\t}', MANY, (1, 9)),
        ("[1,]", MANY, (1, 3)),
        ('{"a": [\n1,\n2 ,\r\n]}', MANY, (3, 3)),
        ('{"a": {"b": [1,]}}', MANY, (1, 15)),
        ("[1,,]", "a value is missing", (1, 4)),
        ("[,]", "a value is missing", (1, 2)),
        ("{,}", "a key in double quotes is missing", (1, 2)),
        ("[1,", "a value is missing", (1, 4)),
        ('{"a": 1,', "it ends before its last bracket is closed", (1, 9)),
        ('{"a": 1, b: 2}', "a key in double quotes is missing", (1, 10)),
        ('{"a": ",}', "a text is not closed: a quote is missing", (1, 7)),
        ("{}\n{}", "there is something after the end", (2, 1)),
        ('{"a": -Infinity}', "NaN and Infinity do not exist there", (1, 7)),
        ("[" + "9" * 5000 + "]", "a number has more than 4,300 digits", (1, 2)),
        ("", "a value is missing", (1, 1)),
    ],
)
def test_a_mistake_is_told_where_it_is(text: str, reason: str, place: tuple[int, int]) -> None:
    with pytest.raises(NotJson) as caught:
        read_json(text)
    error = caught.value
    assert (error.reason, (error.line, error.column)) == (reason, place)


def test_what_is_nested_is_read_to_a_depth_that_no_python_changes() -> None:
    assert read_json("[" * DEPTH + "]" * DEPTH) is not None
    for text in ("[" * (DEPTH + 1), '{"":' * 3000 + "1" + "}" * 3000):
        with pytest.raises(TooDeep) as caught:
            read_json(text)
        assert text.count("[", 0, caught.value.at) + text.count("{", 0, caught.value.at) == DEPTH


def test_brackets_in_texts_and_side_by_side_are_not_deep() -> None:
    assert read_json('["' + "[" * 1000 + '", "\\"' + "{" * 1000 + '"]')
    assert len(read_json("[" + ",".join(["[]"] * 1000) + "]")) == 1000
