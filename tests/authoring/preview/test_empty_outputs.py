"""Outputs that print nothing: named in previews and trials, with their places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from authoring.preview.contact import PreviewInputs
from authoring.preview.trial import attempt
from tests.authoring.preview.conftest import AT, Drafts, Follow, Reported

SMS = "steps:\n  - sms: s\n    text: "


def named(told: dict[str, Any], root: Path) -> list[tuple[str, str, int]]:
    """Return the outputs that printed nothing, each with its file and line. Their columns must be right."""
    found = [empty for step in told["steps"] for empty in step.get("empty", ())]
    places = {(one["file"], one["line"], one["column"]) for one in found}
    assert len(places) == len(found), "each has its own place"
    for one in found:
        line = (root / one["file"]).read_text().splitlines()[one["line"] - 1]
        assert line[one["column"] - 1 :].startswith(one["output"])
    return [(one["output"], Path(one["file"]).name, one["line"]) for one in found]


@pytest.mark.parametrize(
    ("text", "outputs"),
    [
        ('"Dear {{ contact.firstname | capitalize }},"', ["contact.firstname | capitalize"]),
        ('"x {{ contact.firstname }}{{ contact.firstname }}"', ["contact.firstname", "contact.firstname"]),
        ('"{% echo contact.firstname %}: x"', ["contact.firstname"]),
        ('"x {% if true %}{{ contact.firstname }}{% endif %}"', ["contact.firstname"]),
        ('"x {% for p in order.products %}{{ p.name }},{% endfor %}"', ["p.name"]),
        ("\"{{ contact.firstname | default: 'you' }} {{ contact.id }} {{ 0 }} {{ false }}\"", []),
        ('"x {% if contact.firstname %}{{ contact.firstname }}{% endif %}{{ order.currency }}"', ["order.currency"]),
    ],
)
def test_an_output_of_a_text_that_printed_nothing_is_named(
    follow: Follow, reported: Reported, tmp_path: Path, text: str, outputs: list[str]
) -> None:
    shown = follow(SMS + text + "\n", firstname=None, order={"products": [{"name": ""}, {"name": None}]})
    assert named(reported(shown), tmp_path) == [(output, "scenario.yaml", 6) for output in outputs]


def test_every_field_of_a_message_is_searched(follow: Follow, reported: Reported, tmp_path: Path) -> None:
    (tmp_path / "mail.html").write_text("<p>\nHello {{ contact.firstname }}</p>")
    shown = follow(
        "steps:\n"
        "  - email: e\n"
        "    from: '\"{{ contact.firstname }}\" <a@example.com>'\n"
        "    subject: 'a {{ contact.firstname }}'\n"
        "    html: {file: mail.html}\n"
        "  - webhook: w\n"
        "    url: https://x.example/{{ contact.id }}?n={{ contact.firstname }}\n"
        "    headers: {x-a: 'b{{ contact.firstname }}'}\n"
        "    body:\n"
        "      a: '{{ contact.firstname }}'\n"
        "      b: ['x', 'b {{ contact.lastname }}']\n"
        "      'k{{ contact.language }}': 1\n"
        "  - webhook: v\n"
        "    url: https://x.example/\n"
        '    body: \'{"a": "{{ contact.firstname }}", "b": {{ contact.lastname }}}\'\n'
    )
    first, last, language = "contact.firstname", "contact.lastname", "contact.language"
    assert named(reported(shown), tmp_path) == [
        (first, "mail.html", 2),
        *((first, "scenario.yaml", line) for line in (6, 7, 10, 11, 13)),
        *((last, "scenario.yaml", 14), (language, "scenario.yaml", 15)),
        *((first, "scenario.yaml", 18), (last, "scenario.yaml", 18)),
    ]


def test_a_skipped_message_names_none(follow: Follow, reported: Reported, tmp_path: Path) -> None:
    shown = follow(SMS + "\"{{ contact.firstname }}{% abort 'no' %}\"\n")
    assert named(reported(shown), tmp_path) == []


def test_a_trial_counts_the_contacts_for_whom_an_output_printed_nothing(drafted: Drafts) -> None:
    made = drafted(SMS + "\"{{ contact.id }} {{ contact.firstname }} {{ contact.lastname | default: 'x' }}\"\n")
    trial = attempt(made, 60, seed=0, given=PreviewInputs(at=AT), each=lambda: None)
    (one,) = trial.empty
    assert (one.step, one.output, one.line) == ("s", "contact.firstname", 6)
    assert 0 < one.contacts < 60
