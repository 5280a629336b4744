"""YAML is read as scenarios mean it, with the place of everything, and within bounds."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenario.source.decoding import DEPTH, NotJson, TooDeep, read_json
from scenario.source.findings import Mark
from scenario.source.source import Source
from scenario.source.yaml import MAX_BYTES

VALUES: tuple[tuple[str, Any], ...] = (
    ("on", "on"), ("yes", "yes"), ("No", "No"), ("off", "off"), ("y", "y"), ("true", True), ("FALSE", False),
    ("tRue", "tRue"), ("null", None), ("~", None), ("", None), ("12", 12), ("-7", -7), ("0", 0), ("0x1F", 31),
    ("0o17", 15), ("017", "017"), ("0612345678", "0612345678"), ("1_000", "1_000"), ("1.5", 1.5), (".5", 0.5),
    ("1e3", 1000.0), ("007.5", "007.5"), ("10:00", "10:00"), ("1:30:00", "1:30:00"), ("2026-03-29", "2026-03-29"),
    ("2026-03-29 10:00:00", "2026-03-29 10:00:00"), ("'12'", "12"), ('"true"', "true"), ("!!str 12", "12"),
    ("=", "="), ("10%", "10%"), ("a#b", "a#b"), ('"\\ud83d\\ude00"', "😀"), ("9" * 40, "9" * 40),
)  # fmt: skip


@pytest.mark.parametrize(("written", "value"), VALUES, ids=[written or "nothing" for written, _ in VALUES])
def test_a_value_is_what_yaml_1_2_says(written: str, value: Any):
    source = Source(f"key: {written}\n")
    assert source.data == {"key": value}
    assert type(source.data["key"]) is type(value)
    assert not source.findings


def test_keys_are_text_whatever_they_look_like():
    assert Source("on: 1\nyes: 2\n3: 4\nnull: 5\n2026-01-01: 6\n").data == {
        "on": 1,
        "yes": 2,
        "3": 4,
        "null": 5,
        "2026-01-01": 6,
    }


def test_a_local_time_on_some_days_needs_no_quotes():
    assert Source("wait: {until: 10:00, on: [mon, tue]}").data == {"wait": {"until": "10:00", "on": ["mon", "tue"]}}


TAB = "a tab is not allowed here: write spaces, or put a text that holds a tab in quotes"
SYNTAX = (
    ("steps:\n  - email:\t\thello\n", "2:11", TAB),
    ("a: some\ttext\n", "1:8", TAB),
    ("a: {b:\tc}\n", "1:7", TAB),
    ("scenario:x\ntrigger: order\n", "1:9", "a space is missing after this ':'"),
    ("scenario\n\ntrigger: order\n", "1:9", "a ':' is missing after this key"),
    ('a: "hello\nb: 2\n', "1:4", "the quote that opens here is never closed"),
    ("subject: {% if x %}a{% endif %}\n", "1:10", "text that begins with '{{' or '{%' needs quotes around it"),
    ("a: &x 1\nb: &x 2\n", "2:4", "this '&' marks a second value"),
    ("steps: - wait: 2d\n", "1:8", "a list cannot begin here"),
    ("a: b\nc: \x07\n", "2:4", "the character U+0007 is not allowed in a text"),
    ('a: "\\UFFFFFFFF"\n', "1:7", "this escape is not a character"),
    ('a: "\\ud83d"\n', "1:4", "half a character"),
    ("a: !!int b\n", "1:4", "'b' is not a number"),
    ("a: .nan\n", "1:4", "'.nan' is not a number that JSON can hold"),
    ("[a, b]: c\n", "1:1", "a key must be text"),
    ("%YAML x\n---\na: 1\n", "1:7", "this is not YAML: expected a digit, but found 'x'"),
    ("# nothing but this\n", "1:1", "the file is empty"),
    ("", "1:1", "the file is empty"),
    ("null\n", "1:1", "the file is empty"),
    ("--- ~\n", "1:1", "the file is empty"),
    (b"a: b\nc: caf\xe9\n", "2:7", "the file is not UTF-8"),
)


@pytest.mark.parametrize(("text", "place", "sentence"), SYNTAX)
def test_a_slip_in_yaml_is_one_sentence_at_its_place(text: str | bytes, place: str, sentence: str):
    (finding,) = Source(text, "x.yaml").findings
    assert f"{finding.line}:{finding.column}" == place
    assert finding.message.startswith(sentence)


def test_every_duplicate_key_is_reported_and_the_first_one_counts():
    source = Source("a: 1\nb: {c: 1, c: 2}\na: 3\na: 4\n")
    assert [str(finding).removeprefix("scenario.yaml:") for finding in source.findings] == [
        "2:11: error duplicate-key: 'c' is here twice: first on line 2",
        "3:1: error duplicate-key: 'a' is here twice: first on line 1",
        "4:1: error duplicate-key: 'a' is here twice: first on line 1",
    ]
    assert source.data == {"a": 1, "b": {"c": 1}}


def test_aliases_repeat_values_and_their_places():
    source = Source("a: &retry {deadline: 1h}\nb: *retry\n")
    assert source.data == {"a": {"deadline": "1h"}, "b": {"deadline": "1h"}}
    assert source.at(("b", "deadline")) == Mark(1, 22)


NINEFOLD = "".join(f"k{n}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9))
BOMBS = (
    ("a: &a [*a]\n", "holds itself"),
    ("a: &a [x,x,x,x,x,x,x,x,x]\n" + NINEFOLD, "more than 20,000 values"),
    ("a:\n" + "- {b: c, d: e}\n" * 9_000, "more than 20,000 values"),
    ("[" * 200, "nested more than 60 levels deep"),
    ("a: " + "x" * MAX_BYTES, "larger than 512 KB"),
)


@pytest.mark.parametrize(("text", "sentence"), BOMBS, ids=[sentence for _, sentence in BOMBS])
def test_what_would_take_the_memory_away_is_refused(text: str, sentence: str):
    source = Source(text)
    assert source.data is None
    assert sentence in source.findings[0].message


def test_a_long_template_costs_next_to_nothing():
    line = '      {"name": "{{ contact.firstname }}"}\n'
    source = Source("steps:\n  - webhook: w\n    url: https://x.example/\n    body: |\n" + line * 11_000)
    assert not source.findings
    assert len(source.data["steps"][0]["body"]) > 300_000


DOCUMENT = """\
plain: one  {{ two }}   three
single: 'it''s {{ two }} three'
double: "a\\tb \\u00e9 {{ two }} \\
         three"
wrapped: one
  {{ two }}

  three
literal: |
  one
    {{ two }}

  three
indented: |2-
    one
   {{ two }} three
kept: |+
  one

  {{ two }} three

folded: >-
  one
  {{ two }}

  three
list:
  - {key: "{{ two }}", three: three}
"""


@pytest.mark.parametrize("key", ["plain", "single", "double", "wrapped", "literal", "indented", "kept", "folded"])
@pytest.mark.parametrize("word", ["{{ two", "two }}", "three"])
def test_a_place_in_a_template_is_a_place_in_the_file(key: str, word: str):
    source = Source(DOCUMENT)
    text = source.data[key]
    mark = source.inside((key,), text.index(word))
    lines = DOCUMENT.splitlines()
    assert lines[mark.line - 1][mark.column - 1 :].startswith(word)
    start = next(number for number, line in enumerate(lines, 1) if line.startswith(f"{key}:"))
    assert start <= mark.line <= start + 6


def test_keys_values_and_what_is_not_there_have_places():
    source = Source(DOCUMENT)
    assert source.key(("list", 0, "three")) == Mark(28, 24)
    assert source.at(("list", 0, "three")) == Mark(28, 31)
    assert source.at(("list", 0)) == Mark(28, 5)
    assert source.at(("list", 0, "absent", "deeper")) == Mark(28, 5)
    assert source.inside(("list",), 3) == Mark(28, 3)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ('&hi "one {{ two }}"', Mark(1, 13)),
        ("!!str 'one {{ two }}'", Mark(1, 15)),
        ("!!str &hi one {{ two }}", Mark(1, 18)),
        ("&hi |\n  one {{ two }}", Mark(2, 7)),
        ("&hi  # said often\n  >-\n  one {{ two }}", Mark(3, 7)),
    ],
)
def test_an_anchor_or_a_tag_does_not_move_what_follows(written: str, place: Mark):
    source = Source(f"a: {written}\n")
    assert source.inside(("a",), source.data["a"].index("{{")) == place


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_count_as_in_an_editor_whatever_ends_them(end: str):
    text = f"\ufeffa: |{end}  one \u2028 two \x85{end}  {{{{ x }}}}{end}b: 1{end}b: 2{end}"
    source = Source(text)
    assert source.data["a"] == "one \u2028 two \x85\n{{ x }}\n"
    assert source.inside(("a",), source.data["a"].index("{{")) == Mark(3, 3)
    assert source.findings[0].line == 5


def test_a_character_that_only_yaml_1_1_breaks_lines_at_does_not_move_what_follows():
    source = Source("a: >\n  one \u2028 two\n  {{ x }}\n")
    assert source.data["a"] == "one \u2028 two {{ x }}\n"
    assert source.inside(("a",), source.data["a"].index("{{")) == Mark(3, 3)


@st.composite
def texts_in_yaml(draw: st.DrawFn) -> tuple[str, str]:
    """A text and one of the ways to write it in YAML."""
    words = st.text(st.sampled_from("ab'\"\\ é😀{}"), min_size=1, max_size=6)
    lines = draw(st.lists(words, min_size=1, max_size=4))
    text = "\n".join(line.strip() or "x" for line in lines)
    match draw(st.sampled_from(("single", "double", "literal"))):
        case "single":
            return text, "'" + text.replace("'", "''").replace("\n", "\n\n   ") + "'"
        case "double":
            escaped = (
                text.replace("\\", "\\\\").replace('"', '\\"').replace("é", "\\u00e9").replace("😀", "\\U0001F600")
            )
            return text, '"' + escaped.replace("\n", "\\n\\\n     ") + '"'
        case _:
            return text, "|-\n" + "\n".join(f"    {line}" for line in text.split("\n"))


@given(texts_in_yaml())
@settings(max_examples=60)
def test_every_character_is_found_where_it_was_written(case: tuple[str, str]):
    text, written = case
    document = f"before: 1\nkey: {written}\nafter: 2\n"
    source = Source(document)
    assert source.data["key"] == text
    lines = document.split("\n")
    for index, character in enumerate(text):
        if character in "\n ":
            continue
        mark = source.inside(("key",), index)
        at = lines[mark.line - 1][mark.column - 1]
        assert at in (character, "\\"), (text, written, index)


# ---- a mistake in JSON is told in the same words and at the same place on every Python


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
