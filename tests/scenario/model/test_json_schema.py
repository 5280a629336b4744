"""The JSON Schema says of a file what `check` says, as far as a schema can."""

from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from scenario.check.check import check
from scenario.model.json_schema import schema
from scenario.source.source import Source
from scenario.steps.registry import KINDS

HEAD = "scenario: a\ntrigger: order\n"
GOOD = (
    "steps: [{wait: 2d}]",
    "steps: [{wait: P3DT12H}, {wait: 1h 30m}, {wait: {until: 10:00, on: [mon]}}]",
    "steps: [{wait: {until: '{{ order.ordered_at }}', offset: -3d}, on_failure: continue}]",
    "steps: [{wait: {until: 2027-12-24}}, {wait: {until: 2027-12-24T09:00, offset: -3d}}]",
    "steps: [{id: x, email: a, subject: s, text: t, retry: {maximum_attempts: 3, backoff_coefficient: 1.5}}]",
    "steps: [{webhook: a, url: 'https://x.example/', body: {a: null}}]",
    "steps: [{webhook: a, url: 'https://x.example/', body: [1], headers: {x-a: b}, method: PUT}]",
    "steps: [{webhook: a, url: 'https://x.example/', method: GET, save: {as: x}}]",
    "steps: [{webhook: a, to: b, path: '/c/{{ contact.id }}?d=e', content: form, body: {a: b, c: [1, 2]}}]",
    "steps: [{webhook: a, to: b, content: text, body: 'a {{ contact.id }}'}]",
    "steps: [{webhook: a, to: b, save: {as: c_1, when: json, schema: {type: object, enum: [null]}}}]",
    "steps: [{wait_for: a.b, if: event.a, for: 7d, since: now, then: [{exit: a}], else: [{exit: b}]}]",
    "steps: [{wait_for: {a.b: {if: event.a, then: [{exit: a}]}, c: {}}, for: 7d, since: now, else: [{exit: b}]}]",
    "steps: [{repeat: {every: 7d, times: 8}, steps: [{wait: 1d}]}]",
    "steps: [{repeat: {every: 7d, times: 8, until: {event: a.b, if: event.c}}, steps: [{wait: 1d}]}]",
    "steps: [{switch: order.a | downcase, cases: {a: [{exit: a}], 1: []}, else: [{exit: b}]}]",
    "steps: [{split: {a: 33.33, b: 66.67, c: 0}, by: journey, seed: a b, branches: {a: [{exit: a}], b: []}}]",
    "steps: [{split: {a: 50, b: 50}, by: '{{ order.external_id }}'}]",
    "steps: [{if: order.a, else: [{if: order.b, then: [{exit: a}]}]}]",
    "entry: {key: '{{ order.external_id }}', again: after 30d, if: order.a}\nsteps: [{exit: a}]",
    "exit: [{event: a, if: event.b}]\nsteps: [{exit: a}]",
    "quiet_hours: {days_off: [sun, FR, DE-BY, NO], channels: [sms], spread: 15m}\nsteps: [{exit: a}]",
    "steps: [{webhook: a, to: b, window: {from: 22:00, to: 02:00, days_off: [FR-57]}}]",
    "goal: {event: a, if: event.b, within: 14d, value: '{{ event.c }}'}\nsteps: [{exit: a}]",
    "goal: {event: a, within: 14d, value: 25}\nsteps: [{exit: a}]",
    "description: d\ntimezone: Europe/Paris\nentry: {again: never}\nsteps: [{exit: a}]",
)
BAD = (
    "steps: [{wait_for: {a: {since: now}}}]",
    "steps: [{wait_for: {a: {}}, then: [{exit: a}]}]",
    "steps: [{repeat: {every: 7d, times: 0}, steps: [{wait: 1d}]}]",
    "steps: [{repeat: {every: 7d, times: 2, until: {if: order.a}}, steps: [{wait: 1d}]}]",
    "steps: [{switch: order.a, cases: {a: [{exti: a}]}}]",
    "steps: [{webhook: a, url: 'https://x.example/', method: GET, body: [1]}]",
    "goal: {event: a, within: 14}\nsteps: [{exit: a}]",
    "steps: [{wait: 2}]",
    "steps: [{wait: -2d}]",
    "steps: [{wait: {on: [mon]}}]",
    "steps: [{email: a, subject: s}]",
    "steps: [{sms: a, text: t, wait: 2d}]",
    "steps: [{sms: a, text: ''}]",
    "steps: [{webhook: a, to: B}]",
    "steps: [{webhook: a, to: b, url: 'https://x.example/'}]",
    "steps: [{webhook: a, url: 'https://x.example/', path: /b}]",
    "steps: [{webhook: a, to: b, path: c}]",
    "steps: [{webhook: a, to: b, content: form, body: 'a=b'}]",
    "steps: [{webhook: a, to: b, content: form, body: {file: a}}]",
    "steps: [{webhook: a, to: b, content: text, body: {a: b}}]",
    "steps: [{webhook: a, to: b, save: c}]",
    "steps: [{webhook: a, to: b, save: {as: c-d}}]",
    "steps: [{webhook: a, to: b, save: {as: c, schema: true}}]",
    "steps: [{wait_for: a, else: [{exit: a}]}]",
    "steps: [{if: order.a}]",
    "steps: [{exit: true}]",
    "steps: [{split: {a: 1}}]",
    "steps: [{split: {a: 50, 'b c': 50}}]",
    "steps: [{split: {a: -1, b: 101}}]",
    "steps: [{split: [[a, 50], [b, 50]]}]",
    "steps: [{split: {a: 50, b: 50}, branches: {a: [{exti: a}]}}]",
    "entry: {again: after}\nsteps: [{exit: a}]",
    "quiet_hours: {from: 21:00}\nsteps: [{exit: a}]",
    "quiet_hours: {on: [mon]}\nsteps: [{exit: a}]",
    "quiet_hours: {days_off: [sunday]}\nsteps: [{exit: a}]",
    "steps: [{sms: a, text: t, window: {from: 24:00}}]",
)


@pytest.fixture(scope="module")
def is_valid() -> Callable[[Any], bool]:
    validator = Draft202012Validator(schema())
    return lambda data: not list(validator.iter_errors(data))  # pyright: ignore[reportUnknownMemberType]


def test_it_is_a_schema():
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("text", GOOD)
def test_a_good_file_is_good_to_both(is_valid: Callable[[Any], bool], text: str):
    assert check(HEAD + text, read=lambda _: "[]").scenario is not None, check(HEAD + text).findings
    assert is_valid(Source(HEAD + text).data)


@pytest.mark.parametrize("text", BAD)
def test_a_bad_file_is_bad_to_both(is_valid: Callable[[Any], bool], text: str):
    assert check(HEAD + text, read=lambda _: "text").scenario is None
    assert not is_valid(Source(HEAD + text).data)


def parts(form: Any) -> list[dict[str, Any]]:
    if isinstance(form, list):
        return [part for item in form for part in parts(item)]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(form, dict):
        return []
    return [form, *(part for value in form.values() for part in parts(value))]  # pyright: ignore[reportUnknownVariableType]


def test_an_editor_finds_every_step_kind_by_its_own_key_with_a_description():
    made = schema()
    steps = [made["$defs"][choice["$ref"].rpartition("/")[2]] for choice in made["$defs"]["Step"]["oneOf"]]
    assert [step["title"] for step in steps] == list(KINDS)
    for step in steps:
        assert step["title"] == next(iter(step["properties"]))
        assert step["title"] in step["required"]
        assert step["additionalProperties"] is False
        assert step["description"]


def test_it_has_nothing_that_an_author_would_not_write():
    text = str(schema())
    assert "'null'" not in text
    assert "condition'" not in text
    assert "otherwise" not in text
    assert [part["default"] for part in parts(schema()) if "pattern" in part and "default" in part] == [
        "15s", "15s", "0s", "5s", "6h", "3d", "15s", "0s", "15s", "0s"
    ]  # fmt: skip


def test_every_definition_is_used():
    made = schema()
    used = {part["$ref"].rpartition("/")[2] for part in parts(made) if "$ref" in part}
    assert used == set(made["$defs"])
