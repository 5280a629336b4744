"""Checking, describing, drawing and publishing scenario files."""

import io
import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from jsonschema_rs import Draft202012Validator

from authoring.publishing import publish
from runtime.store import Store
from scenario.entry.entry import parse_entry
from scenario.source.source import Source
from tests.cli.conftest import Run, Stored
from tests.examples.scenarios import EXAMPLES, SCENARIOS
from tests.factories import admission_request, present
from tests.fakes import Ran, Terminal

GOOD = """scenario: welcome
trigger: contact_created
steps:
  - wait: 2d
  - email: hello
    subject: "Hello {{ contact.firstname }}"
    text: {file: texts/hello.txt}
"""

HELLO = "Hello {{ contact.firstname }}, nice to have you. {{ journey.unsubscribe_url }}"
BAD = "scenario: a\ntrigger: order\ntrigger: order\nsteps:\n  - wiat: 2d\n"
FOUND = [
    "bad.yaml:3:1: error duplicate-key: 'trigger' is here twice: first on line 2",
    "bad.yaml:5:5: error unknown-step: unknown step 'wiat': did you mean 'wait'?",
]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "hello.txt").write_text(HELLO)
    path = tmp_path / "welcome.yaml"
    path.write_text(GOOD)
    return path


def test_a_file_without_an_end_is_read_as_far_as_it_may_go(run: Run, tmp_path: Path):
    with (tmp_path / "endless.txt").open("wb") as file:
        file.truncate(1 << 36)  # takes no room
    (tmp_path / "s.yaml").write_text("scenario: a\ntrigger: order\nsteps: [{sms: a, text: {file: endless.txt}}]\n")
    assert "s.yaml:3:31: error file: 'endless.txt' is longer than 512 KB" in run("check", "s.yaml").out
    assert "/dev/zero:1:1: error too-large: the file is larger than 512 KB" in run("check", "/dev/zero").out


def test_links_are_followed_within_the_scenarios_folder_alone(run: Run, tmp_path: Path):
    folder = tmp_path / "scenarios"
    (folder / "..data" / "mails").mkdir(parents=True)
    (folder / "..data" / "mails" / "in.txt").write_bytes(b"\xef\xbb\xbfHello {{ contact.emial }}")
    (tmp_path / "out.txt").write_text("password", "utf-8")
    (folder / "mails").symlink_to("..data/mails")  # as in a ConfigMap
    (folder / "out.txt").symlink_to("../out.txt")
    (folder / "all").symlink_to(tmp_path)
    (folder / "loop.txt").symlink_to("loop.txt")
    names = ("mails/in.txt", "out.txt", "all/out.txt", "loop.txt")
    steps = "".join(f"  - sms: s{at}\n    text: {{file: {name}}}\n" for at, name in enumerate(names))
    (folder / "s.yaml").write_text(f"scenario: a\ntrigger: order\nsteps:\n{steps}", "utf-8")
    (tmp_path / "linked").symlink_to("scenarios")

    for path in ("scenarios", "linked"):
        first, second, third, inside = run("check", f"{path}/s.yaml").out.splitlines()
        why = "cannot be read: a link leads out of the scenario's folder"
        assert inside.startswith(f"{path}/mails/in.txt:1:18: error unknown-field")  # without its byte order mark
        assert first == f"{path}/s.yaml:7:18: error file: 'out.txt' {why}"
        assert second == f"{path}/s.yaml:9:18: error file: 'all/out.txt' {why}"
        assert third.startswith(f"{path}/s.yaml:11:18: error file: 'loop.txt' cannot be read: ")


DEPLOY = Path(__file__).parents[2] / "deploy"
OBEYED = {
    "scenario": SCENARIOS,
    "entry": [*(EXAMPLES / "entries").glob("*.json")],
    "destinations": [DEPLOY / "destinations.example.yaml", *(DEPLOY / "destinations").glob("*.yaml")],
    "cases": [*EXAMPLES.glob("*.test.yaml")],
    "policies": [],
}


def test_a_schema_is_one_that_the_examples_obey(run: Run):
    for kind, paths in OBEYED.items():
        validator = Draft202012Validator(run("schema", kind).json)
        for path in paths:
            validator.validate(Source(path.read_text("utf-8")).data)
        assert not validator.is_valid({"frobnicate": 1})


def test_a_schema_of_an_entry_refuses_nothing_that_is_let_in(run: Run):
    validator = Draft202012Validator(run("schema", "entry").json)
    contact: dict[str, Any] = {"id": 7, "lists": "", "custom_fields": [], "creation_date": 0, "double_optin": "1"}
    contact["of_tomorrow"] = {}
    order: dict[str, Any] = {"external_id": 5, "total_price": "59.90", "products": None, "loyalty": []}
    trigger: dict[str, Any] = {"type": "order", "order": order}
    entry: dict[str, Any] = {"scenario": "a@3", "contact": contact, "trigger": trigger, "key": 5}
    parse_entry(entry)
    validator.validate(entry)
    others: list[dict[str, Any]] = [{"contact": {}}, {"trigger": {"type": "odor"}}, {"more": 1}]
    for wrong in ({**entry, **other} for other in others):
        assert not validator.is_valid(wrong)


def test_a_sample_has_what_is_named_and_no_more(run: Run, tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "scenario: a\ntrigger: order\nentry: {if: order.total_price > 20 and contact.custom.vip == 'yes'}\nsteps:\n"
        "- sms: s\n  text: '{% for p in order.products %}{{ p.name }}{% endfor %}'\n"
    )
    sample = run("sample", path).json
    assert sample["contact"]["custom"] == {"vip": "yes"}
    assert sorted(sample["contact"]) == ["cellphone", "custom", "id", "timezone"]
    assert sorted(sample["trigger"]["order"]) == ["products", "total_price"]
    assert [sorted(product) for product in sample["trigger"]["order"]["products"]] == [["name"], ["name"]]
    path.write_text(
        "scenario: a\ntrigger: order\nentry: {if: order.total_price > 2 and order.total_price < 1}\n"
        "steps: [{exit: now}]\n"
    )
    said = f"scenario: no generated contact is admitted by 'entry.if' of {path}: write an entry by hand\n"
    assert run("sample", path) == Ran(1, "", said)


def test_a_sample_has_plausible_values_and_the_consent_that_is_asked_for(run: Run, tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "scenario: a\ntrigger: event\nsubscription: {email: Newsletter, sms: 52}\nsteps:\n"
        "- wait: {until: \"{% if contact.language == 'fr' %}{{ contact.custom.visit }}{% endif %}\"}\n"
        "- wait: {until: '{{ contact.custom.birthday | next_anniversary }} 10:00'}\n"
        "- email: e\n  subject: '{{ trigger.properties.amount }} {{ trigger.properties.currency }}'\n"
        "  text: '{{ contact.double_optin }} {{ trigger.properties.brand }} {{ journey.unsubscribe_url }}'\n"
    )
    sample = run("sample", path).json
    assert sample["contact"] == {
        "id": 1,
        "email": "zoe.obrien@example.com",
        "language": "fr",
        "timezone": "Europe/Paris",
        "double_optin": True,
        "custom": {"visit": "2030-06-01 10:00:00", "birthday": "1988-03-02"},
        "lists": [{"id": 51, "name": "Newsletter"}, {"id": 52, "name": "Newsletter"}],
    }
    assert sample["trigger"]["event"]["properties"] == {"amount": 39.9, "brand": "Brand", "currency": "EUR"}
    (tmp_path / "entry.json").write_text(json.dumps(sample), "utf-8")
    previewed = run("preview", path, "--entry", "entry.json")
    assert (previewed.status, "would be refused" in previewed.out) == (0, False)


def test_a_finding_is_in_colour_at_a_terminal_and_one_line_as_ever(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "a.yaml"
    path.write_text("scenario: a\ntrigger: odor\nsteps: [{exit: now}]\n")
    said = run("check", path).out
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for plain in (False, True):
        if plain:
            monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setattr(sys, "stdout", terminal := Terminal())
        run("check", path)
        shown = terminal.getvalue()
        assert ("\x1b[1;31merror" in shown) is not plain
        assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == said


def test_publishing_says_what_is_different_and_what_becomes_of_journeys_under_way(
    run: Run, stored: Stored, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def enter(store: Store, *versions: int) -> str | None:
        for number, version in enumerate(versions):
            name = f"{version}-{number}"
            await store.admit(admission_request(name, version=version, now=datetime.now(UTC)))
        return present(await store.version("welcome")).published_by

    monkeypatch.setenv("LOGNAME", "ann")
    stored(lambda store: store.scenarios())
    assert run("publish", good, "--journeys", "follow") == Ran(0, "welcome@1\n", "")
    assert stored(lambda store: enter(store, 1, 1)) == "ann"
    (tmp_path / "texts" / "hello.txt").write_text("Another text. {{ journey.unsubscribe_url }}")
    changed = "scenario: welcome@2 after welcome@1: changed: hello (text)\n"
    moved = "scenario: 2 journeys of welcome@1 move to it\n"
    assert run("publish", good) == Ran(0, "welcome@2\n", changed + moved)
    stored(lambda store: enter(store, 2))
    ran = run("publish", good, "--journeys", "follow")
    assert ran == Ran(
        0,
        "welcome@3\n",
        "scenario: welcome@3 after welcome@2: nothing is different for a journey\n"
        "scenario: 1 journey of welcome@2 stays there: see 'scenario migrate welcome --from 2 --dry-run'\n" + moved,
    )
    assert run("publish", good).out == "welcome@3\n", "who says no word takes any"


def test_publishing_says_how_many_would_take_another_branch(run: Run, tmp_path: Path):
    text = "scenario: tones\ntrigger: order\nsteps:\n  - split: {a: 50, b: 50}\n    id: tone\n"
    path = tmp_path / "tones.yaml"
    path.write_text(text)
    assert run("publish", path).err == ""
    path.write_text(text.replace("{a: 50, b: 50}", "{a: 43, b: 57}"))
    assert run("publish", path).err == (
        "scenario: tones@2 after tones@1: changed: tone (split)\n"
        "scenario: split tone: 7 % of contacts would now take another branch than in tones@1\n"
    )


def test_publishing_an_older_content_says_that_it_is_no_rollback_and_how_there_is_one(
    run: Run, good: Path, tmp_path: Path
):
    text = tmp_path / "texts" / "hello.txt"
    for content in (HELLO, "Another text. {{ journey.unsubscribe_url }}"):
        text.write_text(content)
        run("publish", good)
    text.write_text(HELLO)
    assert run("publish", good) == Ran(
        0,
        "welcome@1\n",
        "scenario: welcome@1 is published already, and new journeys use welcome@2, which is newer: "
        "to roll back, publish the file with --newest\n",
    )
    said = "scenario: welcome@3 after welcome@2: changed: hello (text)\n"
    assert run("publish", good, "--newest") == Ran(0, "welcome@3\n", said)
    for options in ([], ["--newest"]):
        assert run("publish", good, *options) == Ran(0, "welcome@3\n", "")


def test_where_one_file_is_wrong_none_is_published(run: Run, good: Path, tmp_path: Path):
    (tmp_path / "bad.yaml").write_text(BAD)
    found = "\n".join([*FOUND, "scenario: nothing was published: 2 errors in 2 files\n"])
    assert run("publish", good, "bad.yaml") == Ran(1, "", found)
    (tmp_path / "again.yaml").write_text(GOOD)
    said = "scenario: welcome.yaml and again.yaml are both the scenario 'welcome': publish one of them\n"
    assert run("publish", "welcome.yaml", "again.yaml") == Ran(1, "", said)
    assert not (tmp_path / ".scenario").exists()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("STORE", "sqlite:////dev/null/x/store.db", "there is no store at /dev/null/x/store.db: "),
        ("PLATFORM_TIMEZONE", "Mars/hunter2", "SCENARIO_PLATFORM_TIMEZONE must be a time zone's IANA name"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_sentence(
    run: Run, good: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, said: str
):
    monkeypatch.setenv(f"SCENARIO_{setting}", value)
    ran = run("publish", good)
    assert (ran.status, ran.out, ran.err.count("\n"), "hunter2" in ran.err) == (1, "", 1, False)
    assert ran.err.startswith(f"scenario: {said}")


FIRST = "scenario: sale\ntrigger: order\nsteps:\n- wait: 1d\n- wait: 2d\n  id: second\n- exit: done\n"
SECOND = FIRST.replace("wait: 1d", "wait: 3d").replace("- wait: 2d\n  id: second\n", "- wait: 5d\n  id: third\n")


@pytest.fixture
def published(run: Run, stored: Stored, tmp_path: Path) -> Run:
    """Commands beside a store with two versions of a scenario."""

    async def fill(store: Store) -> None:
        for text in (FIRST, SECOND):
            (tmp_path / "sale.yaml").write_text(text, "utf-8")
            await publish(tmp_path / "sale.yaml", store)

    stored(fill)
    return run


def steps(text: str) -> dict[str, str]:
    found = ElementTree.fromstring(text).iter()
    return {one.attrib["data-step"]: one.attrib["class"] for one in found if "data-step" in one.attrib}


def test_a_file_is_drawn_without_any_server(run: Run, tmp_path: Path):
    ran, file = run("map", EXAMPLES / "reward.yaml"), tmp_path / "map.svg"
    assert (ran.status, ran.err) == (0, "")
    assert list(steps(ran.out)) == ["you-earned-it", "if-2", "wallet", "if-3", "wait-3.then.1", "last-days"]
    assert run("map", EXAMPLES / "reward.yaml", "--format", "mermaid").out.startswith("flowchart TD\n")
    assert run("map", EXAMPLES / "reward.yaml", "--output", file) == Ran(0, "", "")
    assert file.read_text("utf-8") == ran.out


def test_a_published_version_is_drawn_by_its_name(published: Run):
    for name, version, second in (("sale", 2, "third"), ("sale@1", 1, "second")):
        drawn = published("map", name).out
        assert (list(steps(drawn)), f"Map of sale@{version}" in drawn) == (["wait-1", second, "exit-3"], True)


def test_what_is_different_from_an_earlier_version_is_marked(published: Run, tmp_path: Path):
    for what in ("sale", "sale@2", tmp_path / "sale.yaml"):
        ran = published("map", what, "--since", "1")
        assert steps(ran.out) == {"wait-1": "step waits changed", "third": "step waits added", "exit-3": "step ends"}
        assert "removed: second" in ran.out


def test_a_template_goes_to_standard_output_as_it_is_in_utf_8(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "a.html").write_bytes(b"\xef\xbb\xbf<p>$firstname$\x1b\r\n{SPLIO IF $email$}\xc3\xa9{SPLIO ENDIF}")
    converted = "<p>{{ contact.firstname }}\x1b\r\n{% if contact.email != blank %}é{% endif %}"
    assert run("convert", "a.html") == Ran(0, converted, "")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    assert run("convert", "a.html").status == 0
    assert written.getvalue().decode() == converted


def test_what_is_left_is_listed_and_the_status_says_so(run: Run, tmp_path: Path):
    (tmp_path / "a.txt").write_text("Hi $fistname$\n$mirrorurl$\n")
    ran = run("convert", "a.txt")
    assert ran.status == 1
    assert ran.out == "Hi {{ not_converted['$fistname$'] }}\n{{ not_converted['$mirrorurl$'] }}\n"
    assert ran.err.splitlines() == [
        "a.txt:1:4: $fistname$ is not known: was $firstname$ meant?",
        "a.txt:2:1: $mirrorurl$ has no counterpart: write a link of your own",
        "scenario: 2 parts of a.txt must be converted by hand",
    ]


def test_json_holds_text_and_what_is_left(run: Run, tmp_path: Path):
    (tmp_path / "a.txt").write_text("$shop$ $c1$")
    ran = run("convert", "a.txt", "--format", "json")
    assert ran.status == 1
    assert ran.json["text"] == "{{ not_converted['$shop$'] }} {{ contact.custom.c1 }}"
    assert [(left["line"], left["column"]) for left in ran.json["left"]] == [(1, 1)]
    assert len(ran.json["notes"]) == 1
    assert ran.err == "scenario: 1 part of a.txt must be converted by hand\n"


def test_standard_input_is_read(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"$firstname$ {{ x }}")))
    assert run("convert", "-", "--keep-liquid").out == "{{ contact.firstname }} {{ x }}"


def test_a_scenario_is_converted_in_place(run: Run, tmp_path: Path):
    (tmp_path / "a.yaml").write_text(
        "scenario: a  # kept\ntrigger: order\nsteps:\n  - sms: a\n    text: $firstname$ {{ contact.id }}\n"
    )
    assert run("convert", "a.yaml", "--output", "b.yaml") == Ran(0, "", "")
    assert "# kept" in (tmp_path / "b.yaml").read_text()
    assert run("check", "b.yaml").status == 0


def test_a_sample_tells_the_names_of_custom_fields(run: Run, tmp_path: Path):
    (tmp_path / "a.txt").write_text("$c1$")
    ran = run("convert", "a.txt")
    assert (ran.status, ran.out) == (0, "{{ contact.custom.c1 }}")
    assert ran.err.startswith("scenario: c1: custom fields are named by number only if")
    (tmp_path / "a.txt").write_text("$c1$ $vip$")
    (tmp_path / "contact.json").write_text(json.dumps({"custom_fields": [{"id": 1, "name": "vip", "value": "1"}]}))
    ran = run("convert", "a.txt", "--sample", "contact.json")
    assert ran == Ran(0, "{{ contact.custom.vip }} {{ contact.custom.vip }}", "")
