"""Previews on a terminal and for programs."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli.show_preview import when
from tests.cli.conftest import Run
from tests.examples.scenarios import CAMPAIGNS, SCENARIOS
from tests.fakes import Ran

EXAMPLES = Path(__file__).parents[2] / "examples"
PAGE = (EXAMPLES.parent / "docs/write/preview.md").read_text("utf-8")
AT = ("--at", "2026-11-25T14:00")
MONDAY = "--at 2026-03-02T09:00:00+00:00"
"""When made-up contacts come in, unless they are told otherwise."""
EXAMPLE = ("preview", EXAMPLES / "reward.yaml", "--entry", EXAMPLES / "entries" / "reward-expiring.json", *AT)

SHEET = Path(__file__).with_name("preview.txt").read_text("utf-8")
NO_CARD = """\
scenario: contact 2 of seed 0 fails at step wallet:
card.yaml:7:44: this value leaves a part of the URL's path empty, '.' or '..'
  reward.card_code = null
"""


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    """A scenario and an entry with what is awkward to print."""
    (tmp_path / "loop.yaml").write_text(
        "scenario: loop\ntrigger: contact_created\nsteps:\n"
        "  - webhook: w\n    url: https://x.example/\n    body: |\n"
        '      {"name":\t"{{ contact.firstname }}",\n       "list": [1, 2]}\n'
        "  - email: e\n    subject: Hello\n    html: '<p>{{ contact.firstname }}</p>'\n"
        "  - wait_for: a.b\n    for: 1d\n    else:\n      - sms: s\n        text: late\n"
    )
    entry = {"scenario": "loop", "trigger": {"type": "contact_created"}}
    contact = {"id": 1, "firstname": "\x1b[31mZoé" + "x" * 300, "email": "z@example.com", "cellphone": "+33612345678"}
    (tmp_path / "loop.json").write_text(json.dumps({**entry, "contact": contact}))
    return tmp_path


def write(folder: Path, steps: str, *, trigger: str = "birthday", **contact: Any) -> None:
    """Write a scenario, ``s.yaml``, and an entry for it, ``e.json``."""
    (folder / "s.yaml").write_text(f"scenario: a\ntrigger: {trigger}\nsteps:\n{steps}")
    whole = {"id": 1, "cellphone": "+33612345678", **contact}
    (folder / "e.json").write_text(json.dumps({"scenario": "a", "contact": whole, "trigger": {"type": trigger}}))


@pytest.fixture
def card(tmp_path: Path) -> Path:
    """The scenario of the page on previews: it forgets that there are rewards without a card."""
    (written,) = re.findall(r"```yaml\n(# card\.yaml\n.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "card.yaml"
    path.write_text(written, "utf-8")
    return path


def test_a_person_sees_each_step_and_what_it_sends(run: Run):
    assert run(*EXAMPLE) == Ran(0, SHEET, "3 messages to this contact; nothing was sent\n")


def test_a_program_gets_what_the_contract_says(run: Run):
    ran = run(*EXAMPLE, "--format", "json")
    steps = ran.json["steps"]
    assert [(step["id"], step["kind"], step["taken"]) for step in steps] == [
        ("you-earned-it", "email", True),
        ("if-2", "if", True),
        ("wallet", "webhook", True),
        ("if-3", "if", True),
        ("wait-3.then.1", "wait", True),
        ("last-days", "sms", True),
    ]
    assert steps[0]["message"].keys() >= {"from", "to", "subject", "text", "source"}
    assert steps[2]["request"].keys() >= {"method", "url", "headers", "body"}
    assert json.loads(steps[2]["request"]["body"])["reward"] == "EG29"
    assert steps[4]["waits_until"] == "2026-12-28T23:59:59+01:00"
    text = "Zoé, only 2 days left for your reward The 4th is free."
    assert steps[5]["message"] == {
        "to": "+33612345678",
        "text": text,
        "characters": 54,
        "alphabet": "GSM-7",
        "parts": 1,
    }
    assert (ran.status, ran.json["refused"], ran.json["findings"]) == (0, None, [])


def test_one_step_alone_can_be_asked_for(run: Run):
    assert [step["id"] for step in run(*EXAMPLE, "--step", "wallet", "--format", "json").json["steps"]] == ["wallet"]


LOOP = ("preview", "loop.yaml", "--entry", "loop.json", *AT)
LONG = "x" * 300


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ((), f'  │ {{"name":\t"\\u001b[31mZoé{LONG}",\n'),  # as long as what is sent, and harmless
        ((), f"  │ <p>\ufffd[31mZoé{LONG}</p>\n"),
        (("--pretty", "--step", "w"), ' bytes, indented here\n  │ {\n  │   "name": '),
        (("--source", "--step", "e"), "  │ Message-ID: <msg_preview"),
        (("--source", "--step", "e"), "  │ Content-Type: multipart/alternative;\n"),
        ((), "▶ wait_for-3  wait for a.b, 1d at most  → else, Thu 2026-11-26 14:00: a.b is not given\n"),
        (
            ("--event", 'a.b={"x": "too "}'),
            "→ then, Wed 2026-11-25 14:00: a.b comes\n  else of wait_for-3:  (not taken)\n",
        ),
    ],
)
@pytest.mark.usefixtures("loop")
def test_what_options_ask_for_is_shown(run: Run, options: tuple[str, ...], shown: str):
    out = run(*LOOP, *options).out
    assert (shown in out, "\x1b" in out) == (True, False)


BIDIRECTIONAL = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def test_nothing_reorders_what_a_terminal_shows(run: Run, tmp_path: Path):
    write(
        tmp_path,
        "  - sms: s\n    text: '{{ contact.firstname }}'\n"
        "  - webhook: w\n    url: https://x.example/\n    body: {name: '{{ contact.firstname }}'}\n",
        firstname=f"a{BIDIRECTIONAL}b مرحبا",
    )
    shown = run("preview", "s.yaml", "--entry", "e.json").out
    spelt = "".join(f"<U+{ord(character):04X}>" for character in BIDIRECTIONAL)
    assert shown.count(f"a{spelt}b مرحبا") == 2
    assert not set(shown) & set(BIDIRECTIONAL)
    for_programs = run("preview", "s.yaml", "--entry", "e.json", "--format", "json").json
    assert for_programs["steps"][0]["message"]["text"] == f"a{BIDIRECTIONAL}b مرحبا"


def test_colour_is_for_terminals_that_want_it(run: Run, loop: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in run(*LOOP).out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in run(*LOOP).out


def test_the_sender_is_the_configured_one(run: Run, loop: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCENARIO_MAIL_FROM", "Shop <shop@example.com>")
    ran = run(*LOOP, "--step", "e", "--format", "json")
    assert ran.json["steps"][0]["message"]["from"] == "Shop <shop@example.com>"


def test_a_destination_is_looked_up_where_its_file_is_given(run: Run, tmp_path: Path):
    (tmp_path / "d.yaml").write_text("destinations: {wax: {url: https://api.wax.example/v1}}\n")
    write(tmp_path, "  - webhook: w\n    to: wax\n    path: /m\n  - wait: 1d\n")
    for option, shown in (((), "wax:/m"), (("--destinations", "d.yaml"), "https://api.wax.example/v1/m")):
        assert f"│ POST {shown}\n" in run("preview", "s.yaml", "--entry", "e.json", *option).out


def test_a_step_that_cannot_be_rendered_is_said_at_its_place(run: Run, tmp_path: Path, card: Path):
    entry = json.loads((EXAMPLES / "entries" / "reward.json").read_text("utf-8"))
    entry["trigger"]["reward"]["card_code"] = ""
    (tmp_path / "e.json").write_text(json.dumps(entry))
    ran = run("preview", card, "--entry", "e.json")
    assert f"  ✗ {card}:7:44: this value leaves a part of the URL's path empty" in ran.out
    assert (ran.status, ran.err) == (1, "1 step cannot be performed\n")
    ran = run("preview", card, "--entry", "e.json", "--format", "json")
    (error,) = [step["error"] for step in ran.json["steps"] if "error" in step and step["reachable"]]
    assert (ran.status, error["file"], error["line"], error["column"]) == (1, str(card), 7, 44)


def test_what_would_be_refused_is_shown_all_the_same(run: Run, tmp_path: Path):
    entry = json.loads((EXAMPLES / "entries" / "post-purchase.json").read_text("utf-8"))
    entry["trigger"]["order"]["total_price"] = "1"
    (tmp_path / "e.json").write_text(json.dumps(entry))
    ran = run("preview", EXAMPLES / "post-purchase.yaml", "--entry", "e.json")
    assert "\nwould be refused: the entry rule of post-purchase does not hold: order.total_price > 20\n" in ran.out
    assert ran.status == 0


def test_a_scenario_with_mistakes_is_not_previewed(run: Run, tmp_path: Path):
    (tmp_path / "bad.yaml").write_text("scenario: a\ntrigger: order\nsteps:\n  - wiat: 2d\n")
    ran = run("preview", "bad.yaml", "--entry", "e.json")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("bad.yaml:4:5: error unknown-step: unknown step 'wiat': did you mean 'wait'?\n")
    assert run("preview", "bad.yaml", "--entry", "e.json", "--format", "json").json["findings"][0]["line"] == 4


def test_made_up_contacts_find_the_value_that_fails(run: Run, tmp_path: Path, card: Path):
    ran = run("preview", card.name, "--random", "50", "--save", "fails.json")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == NO_CARD + f"the entry is in fails.json: see it with --entry fails.json {MONDAY}\n"
    again = run("preview", card.name, "--entry", "fails.json")
    assert (again.status, "✗ card.yaml:7:44: " in again.out) == (1, True)
    printed = run("preview", card.name, "--random", "50")
    assert (printed.status, printed.json) == (1, json.loads((tmp_path / "fails.json").read_text()))
    told = run("preview", card.name, "--random", "50", "--format", "json").json["failure"]
    assert (told["number"], told["step"], told["fields"]) == (2, "wallet", {"reward.card_code": "null"})


ASK = "  - webhook: ask\n    url: https://x.example/\n    save: {as: wax}\n"
TELL = "  - webhook: tell\n    url: https://x.example/\n    headers: {x-name: '%s'}\n"
AGAIN = {
    "a response": (
        ASK.replace("wax}", "wax, schema: {type: object, properties: {name: {type: string}}}}")
        + TELL % "{{ responses.wax.name }}",
        (),
        rf"""--response 'wax=\{{"name": .+\}}' {re.escape(MONDAY)}""",
    ),
    "an event": (
        "  - wait_for: order.delivered\n    for: 7d\n    then:\n      - if: event.status == 'lost'\n"
        "        then: [{webhook: tell, url: 'https://x.example/', body: {it: '{{ order.external_id | number }}'}}]\n",
        (),
        rf"""--event 'order.delivered=\{{"status": "lost"\}}' {re.escape(MONDAY)}""",
    ),
    "a moment": (
        TELL.replace("'%s'", "\"{% if today == '2027-01-02' %}{{ contact.firstname }}{% endif %}\""),
        ("--at", "2027-01-02T03:00"),
        "--at 2027-01-02T03:00:00",
    ),
}


@pytest.mark.parametrize(("steps", "more", "needed"), AGAIN.values(), ids=AGAIN)
def test_what_made_a_contact_fail_is_given_back_as_options(
    run: Run, tmp_path: Path, steps: str, more: tuple[str, ...], needed: str
):
    write(tmp_path, steps, trigger="order")
    ran = run("preview", "s.yaml", "--random", "300", "--save", "failing.json", *more)
    assert ran.status == 1
    again = ran.err.splitlines()[-1].partition("see it with ")[2]
    assert re.fullmatch(f"--entry failing.json {needed}", again)
    shown = run("preview", "s.yaml", *shlex.split(again))
    assert (shown.status, "▶ tell  webhook → x.example  held" in shown.out) == (1, True)
    if more:
        assert run("preview", "s.yaml", "--random", "30").status == 0


def test_a_response_may_be_any_json(run: Run, tmp_path: Path):
    write(tmp_path, ASK + "  - webhook: tell\n    url: https://x.example/\n    body: {it: '{{ responses.wax }}'}\n")
    for response in ('["a", 1]', "7"):
        ran = run("preview", "s.yaml", "--entry", "e.json", "--response", f"wax={response}", "--format", "json")
        assert json.loads(ran.json["steps"][1]["request"]["body"]) == {"it": json.loads(response)}


OF_ROUNDS = {"advent": "step if-3.round.1: no contact took the branch 'else'\n"}
"""What made-up contacts do not show: of a repetition they see the first round, which is on a Sunday."""
EMPTY = re.compile(r":\d+:\d+: \{\{ .+ \}\} printed nothing for \d+ of 20 contacts$")


@pytest.mark.parametrize("example", [*SCENARIOS, *CAMPAIGNS], ids=lambda example: example.stem)
def test_no_example_fails_for_anybody_and_made_up_contacts_go_every_way(run: Run, example: Path):
    ran = run("preview", example, "--random", "20", "--seed", "2", "--at", "2026-11-28T12:00")
    notes = [line for line in ran.err.splitlines(keepends=True) if not EMPTY.search(line)]
    assert (ran.status, "".join(notes)) == (0, OF_ROUNDS.get(example.stem, ""))
    assert re.fullmatch(r"\d+ of 20 rendered(, \d+ would not have been admitted)? \(\d+ a second\)\n", ran.out)


@pytest.mark.parametrize(("order", "shown"), [("dmy", "4 March"), ("mdy", "3 April")])
def test_dates_of_the_platform_are_read_in_the_order_of_the_setting(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str, shown: str
):
    write(
        tmp_path,
        "  - sms: s\n    text: \"{{ contact.custom.d | date: '%-d %B' }}\"\n",
        custom_fields=[{"name": "d", "value": "04/03/2030", "data_type": "date"}],
    )
    refused = run("preview", "s.yaml", "--entry", "e.json")
    assert refused.status == 1
    assert "a date may begin with its day or its month (04/03 is 4 March or 3 April)" in refused.out
    monkeypatch.setenv("SCENARIO_PLATFORM_DATES", order)
    assert f"  │ {shown}\n" in run("preview", "s.yaml", "--entry", "e.json").out


def test_a_date_that_cannot_be_read_is_shown(run: Run, tmp_path: Path):
    write(tmp_path, "  - wait: {until: '{{ contact.custom.d }} 10:00'}\n", custom={"d": "2030-06-01 10:00:00"})
    ran = run("preview", "s.yaml", "--entry", "e.json")
    assert 'write it as 2026-03-29 or 2026-03-29T10:00:00+02:00 (not "2030-06-01 10:00:00 10:00")\n' in ran.out
    told = run("preview", "s.yaml", "--entry", "e.json", "--format", "json").json
    assert told["steps"][0]["error"]["unread"] == "2030-06-01 10:00:00 10:00"
    ran = run("preview", "s.yaml", "--random", "50")
    assert (ran.status, "\n  the date = " in ran.err) == (1, True)


def test_outputs_that_print_nothing_are_named(run: Run, tmp_path: Path):
    write(tmp_path, "  - sms: s\n    text: 'Dear {{ contact.firstname | strip }},'\n", firstname=" ")
    ran = run("preview", "s.yaml", "--entry", "e.json")
    assert "  │ Dear ,\n" in ran.out
    assert "  ○ s.yaml:5:20: {{ contact.firstname | strip }} printed nothing\n" in ran.out
    told = run("preview", "s.yaml", "--entry", "e.json", "--format", "json").json
    assert told["steps"][0]["empty"] == [
        {"output": "contact.firstname | strip", "file": "s.yaml", "line": 5, "column": 20}
    ]
    ran = run("preview", "s.yaml", "--random", "30")
    assert re.fullmatch(
        r"s.yaml:5:20: \{\{ contact.firstname \| strip \}\} printed nothing for \d+ of 30 contacts\n", ran.err
    )
    told = run("preview", "s.yaml", "--random", "30", "--format", "json").json
    assert [(one["step"], one["output"], one["line"]) for one in told["empty"]] == [
        ("s", "contact.firstname | strip", 5)
    ]


@pytest.mark.parametrize(
    ("moment", "shown"),
    [("2026-03-03T10:00:00+01:00", "Tue 2026-03-03 10:00"), ("0999-01-01T10:00:05+00:00", "Tue 0999-01-01 10:00:05")],
)
def test_moments_are_read_by_people(moment: str, shown: str):
    assert when(moment) == shown


@pytest.mark.usefixtures("card")
def test_the_page_shows_what_is_written_and_names_every_option(run: Run, tmp_path: Path):
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    shown = re.findall(r"```text\n\$ uv run scenario (preview [^\n]*)\n(.*?)```", PAGE, re.DOTALL)
    assert len(shown) == 3
    for command, output in shown:
        ran = run(*shlex.split(command))
        assert ran.out + ran.err == output, command
    options = set(re.findall(r"--[a-z]+", run("preview", "--help").out)) - {"--help"}
    assert {option for option in options if f"`{option}" not in PAGE} == set()
