"""Made-up responses: they fit their schema, have what the scenario names, and are as bad as they may be."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.preview import worst
from gateway.preview.responses import Replies, keep
from scenario.model.parts import Save
from scenario.responses import misfit
from scenario.source.source import Source
from tests.gateway.preview.conftest import Drafts

SCHEMAS: dict[str, dict[str, Any]] = Source(Path(__file__).with_name("schemas.yaml").read_text("utf-8")).data


def replies(
    drafts: Drafts, schema: dict[str, Any] | None, behind: str = "", seed: int = 0, count: int = 200
) -> list[dict[str, Any]]:
    made = made_by(drafts, schema, behind, seed)
    return [made.made(number) for number in range(1, count + 1)]


def made_by(drafts: Drafts, schema: dict[str, Any] | None, behind: str = "", seed: int = 0) -> Replies:
    said = "" if schema is None else f", schema: {json.dumps(schema)}"
    text = f"steps:\n  - webhook: ask\n    url: https://x.example/\n    save: {{as: wax{said}}}\n{behind}  - wait: 1d\n"
    return Replies(drafts(text), seed, {})


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_response_fits_its_schema(drafted: Drafts, name: str) -> None:
    made = replies(drafted, SCHEMAS[name], count=80)
    values = [reply["wax"] for reply in made if reply]
    assert len(values) > 40, "some are lost, most are not"
    assert "wax" in made[0], "an ordinary one"
    assert made[1] == {}, "none"
    assert [value for value in values if misfit(value, SCHEMAS[name]) is not None] == []
    assert len({repr(value) for value in values}) > 2


def test_every_response_is_one_that_a_worker_keeps(drafted: Drafts) -> None:
    made = made_by(drafted, None, "  - sms: s\n    text: '{{ responses.wax.a.b }} {{ responses.wax.c }}'\n")
    save = Save.model_validate({"as": "wax"})
    values = [reply["wax"] for number in range(1, 201) if (reply := made.made(number))]
    assert [value for value in values if keep(save, value).value != value] == []


def test_the_worst_is_among_them(drafted: Drafts) -> None:
    schema = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "list": {"type": "array", "items": {"type": "string"}}},
    }
    values = [cast("dict[str, Any]", reply["wax"]) for reply in replies(drafted, schema) if reply]
    assert {} in values, "optional fields that are missing"
    assert any(value.get("list") == [] for value in values)
    assert any(len(value.get("list", ())) > 30 for value in values)
    texts = {value["text"] for value in values if "text" in value}
    assert {"", 'Ann "Bo"'} <= texts
    assert len(texts) > len(worst.JSON) // 4
    assert values[0].keys() == {"text", "list"}, "the first has everything"
    assert replies(drafted, schema) == replies(drafted, schema) != replies(drafted, schema, seed=1)


def test_without_a_schema_there_is_what_the_scenario_names(drafted: Drafts) -> None:
    behind = """  - if: responses.wax.state == 'refused'
    then:
      - sms: s
        text: "{{ responses.wax.data.id }} {% for m in responses.wax.messages %}{{ m.body }}{% endfor %}"
"""
    values = [reply["wax"] for reply in replies(drafted, None, behind) if reply]
    first = values[0]
    assert first.keys() == {"state", "data", "messages"}
    assert [item.keys() for item in first["messages"]] == [{"body"}, {"body"}]
    objects = [cast("dict[str, Any]", value) for value in values if isinstance(value, dict)]
    assert sum(value.get("state") == "refused" for value in objects) > 20, "what is compared with comes often"
    assert any(value.get("messages") == [] for value in objects)
    assert {"[]", "'ok'", "{}"} <= {repr(value) for value in values}, "and what nobody expects"


@pytest.mark.parametrize(
    "schema", [{"not": {}}, {"type": "string", "minLength": 4, "maxLength": 3}, {"anyOf": [False]}]
)
def test_where_nothing_fits_there_is_none(drafted: Drafts, schema: dict[str, Any]) -> None:
    made = made_by(drafted, schema)
    assert [made.made(number) for number in range(1, 10)] == [{}] * 9
    assert made.unmade == ["wax"]
