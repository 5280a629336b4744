"""Whatever a file says, check and preview have an answer: the examples with something in them deleted or replaced."""

import copy
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import pytest

from authoring.errors import BadInput
from authoring.preview.contact import PreviewInputs, preview
from authoring.preview.draft import draft
from scenario.source.source import Source
from tests.authoring.preview.conftest import AT
from tests.examples.scenarios import SCENARIOS

EXAMPLES: Final = Path(__file__).parents[3] / "examples"
NAMES: Final = [path.stem for path in SCENARIOS]
MUTANTS: Final = 15
"""Of each example."""
VALUES: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 3.5, 1e308, 10**30, "", " ", "x", "2d", "-1d", "10:00", "99:99", "mon", "a.b", "é" * 5),
    *("{{", "{{ x }}", "{% if %}", "{{ contact.email", "{% raw %}", "*", "contact.x == ", "true", "2026-02-30", "form"),
    *("../../etc/passwd", "http://", "https://[::1", "https://x:99999/", "\u202e\x01", "a" * 300, "json", "text"),
    *([], [[]], [None], ["x"], [1, 2], ["form"], [{"wait": "1d"}], [{"if": "x", "then": [{"exit": "e"}]}]),
    *({}, {"x": 1}, {"": 1}, {"wait": "1d"}, {"if": 1}, {"type": "object"}, {"$ref": "#"}, {"$for": "x"}, {"$if": "x"}),
    *({"file": "mails/thank-you.html"}, {"file": "nope"}, {"file": 1}, {"file": ""}, {"file": "a\0b"}, {"file": "."}),
)
KEYS: Final = (
    *("", "steps", "if", "then", "else", "wait", "email", "wait_for", "exit", "id", "x", "on_failure", "save", "retry"),
    *("$if", "$then", "body", "content", "url", "to", "path", "html", "text", "schema", "until", "for", "key", "again"),
    *("<<", "null", "é", "a b", "\0", "__class__", "0"),
)
Place = tuple[str | int, ...]


def places(data: Any, path: Place = ()) -> Iterator[Place]:
    yield path
    if isinstance(data, dict):
        for key in cast("dict[str, Any]", data):
            yield from places(data[key], (*path, key))
    elif isinstance(data, list):
        for index, item in enumerate(cast("list[Any]", data)):
            yield from places(item, (*path, index))


def at(data: Any, path: Place) -> Any:
    for key in path:
        data = data[key]
    return data


def mutant(data: Any, chance: random.Random) -> Any:
    """The data with something else at one place, less or more."""
    data = copy.deepcopy(data)
    known = [path for path in places(data) if path]
    path = chance.choice(known)
    around, key, is_list = at(data, path[:-1]), path[-1], isinstance(path[-1], int)
    match chance.choice(("replace", "replace", "graft", "delete", "wrap", "add")):
        case "replace":
            around[key] = copy.deepcopy(chance.choice(VALUES))
        case "graft":
            around[key] = copy.deepcopy(at(data, chance.choice(known)))
        case "delete":
            del around[key]
        case "wrap":
            around[key] = [around[key]]
        case _ if is_list:
            around.insert(key, copy.deepcopy(around[key]))
        case _:
            around[chance.choice(KEYS)] = copy.deepcopy(chance.choice((around[key], *VALUES)))
    return data


@pytest.mark.parametrize("name", NAMES)
def test_no_mistake_in_a_file_is_one_of_ours(name: str, tmp_path: Path):
    shutil.copytree(EXAMPLES / "mails", tmp_path / "mails")
    written = Source((EXAMPLES / f"{name}.yaml").read_text("utf-8"), name).data
    entry = json.loads((EXAMPLES / "entries" / f"{name}.json").read_text("utf-8"))
    chance = random.Random(name)
    path = tmp_path / "scenario.yaml"
    shown = 0
    for _ in range(MUTANTS):
        text = json.dumps(mutant(written, chance))  # JSON is YAML
        path.write_text(text, "utf-8")
        try:
            made, findings = draft(path)
            if made is None:
                assert findings
            else:
                shown += bool(preview(made, entry, PreviewInputs(at=AT)).steps)
        except BadInput:
            pass  # of another trigger
        except Exception as error:
            raise AssertionError(text) from error
    assert shown, "some are right all the same"
