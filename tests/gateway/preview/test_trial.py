"""Made-up contacts: which failures count, what is told of them, and that a seed is a seed."""

import json
from typing import Any, cast

import pytest

from gateway.preview import worst
from gateway.preview.contact import PreviewInputs, preview
from gateway.preview.responses import Replies
from gateway.preview.samples import MANY, Samples
from gateway.preview.trial import Trial, attempt
from scenario.entry.entry import parse_entry
from tests.gateway.preview.conftest import AT, Drafts


def tried(drafts: Drafts, text: str, wanted: int = 30, seed: int = 0, step: str | None = None) -> Trial:
    return attempt(drafts(text), wanted, seed=seed, given=PreviewInputs(at=AT), step=step, each=lambda: None)


HEADER = "  - webhook: w\n    url: https://x.example/\n    headers: {X-Name: 'a{{ contact.firstname }}b'}\n"


def test_the_first_contact_that_fails_is_told_with_the_value_that_does_it(drafted: Drafts) -> None:
    trial = tried(drafted, f"steps:\n{HEADER}")
    failure = trial.failure
    assert failure is not None
    assert (failure.step, failure.finding.line, failure.finding.column) == ("w", 7, 25)
    assert "a header cannot contain" in failure.finding.message
    assert failure.fields.keys() == {"contact.firstname"}
    # Nothing is left in the entry but what it needs to fail.
    assert failure.entry.keys() == {"scenario", "contact", "trigger"}
    assert failure.entry["contact"].keys() == {"id", "firstname"}
    assert failure.entry["trigger"] == {"type": "order", "order": {}}
    assert trial.rendered == failure.number - 1


@pytest.mark.parametrize("on_failure", ["hold", "exit"])
def test_a_message_with_a_mistake_fails_whatever_follows_it(drafted: Drafts, on_failure: str) -> None:
    assert tried(drafted, f"steps:\n{HEADER}    on_failure: {on_failure}\n").failure is not None


@pytest.mark.parametrize(("on_failure", "fails"), [("hold", True), ("exit", False)])
def test_a_date_that_is_missing_fails_where_no_one_foresaw_it(drafted: Drafts, on_failure: str, fails: bool) -> None:
    text = f"steps:\n  - wait: {{until: '{{{{ contact.custom.day }}}}'}}\n    on_failure: {on_failure}\n"
    assert (tried(drafted, text).failure is not None) is fails


def test_the_same_seed_gives_the_same_and_another_one_another(drafted: Drafts) -> None:
    made = drafted(f"steps:\n{HEADER}")
    first, again, other = ([Samples(made, seed).entry(number) for number in range(4, 12)] for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("condition", ["contact.firstname == 'Bo'", "order.total_price > 1000000"])
def test_what_a_condition_keeps_away_may_fail(drafted: Drafts, condition: str) -> None:
    """An 'if' in front of it is how an author mends a step that fails for some."""
    guarded = f"""entry: {{if: "contact.firstname == 'Bo'"}}
steps:
  - if: {condition}
    then:
      - webhook: w
        url: https://x.example/
        headers: {{X-Name: '{{{{ contact.firstname }}}}'}}
  - wait: 1d
"""
    trial = tried(drafted, guarded)
    assert trial.failure is None
    assert trial.rendered + trial.refused == 30
    assert trial.rendered > 20, "the values that rules compare with are tried more often than others"


def test_both_ways_of_a_wait_for_count(drafted: Drafts) -> None:
    text = "steps:\n  - wait_for: a.b\n    for: 1d\n    %s:\n" + "".join(
        f"    {line}\n" for line in HEADER.splitlines()
    )
    assert all(tried(drafted, text % way).failure is not None for way in ("then", "else"))


def test_an_event_that_a_step_fails_for_is_told(drafted: Drafts) -> None:
    text = """steps:
  - wait_for: a.b
    for: 1d
    then:
      - webhook: w
        url: https://x.example/
        headers: {X-Size: "a{{ event.carrier }}b"}
"""
    failure = tried(drafted, text, wanted=60).failure
    assert failure is not None
    assert failure.fields.keys() == {"event.carrier"}
    assert failure.entry == {
        "scenario": "a",
        "contact": {"id": failure.number},
        "trigger": {"type": "order", "order": {}},
    }
    (event,) = failure.events
    assert (event.name, [*event.properties]) == ("a.b", ["carrier"])


ASK = """steps:
  - webhook: ask
    url: https://x.example/
    save: {as: wax%s}
"""


def test_a_response_that_a_step_fails_for_is_told_as_simple_as_it_can_be(drafted: Drafts) -> None:
    text = ASK % ", schema: {type: object, required: [state], properties: {state: {enum: [sent, refused]}}}" + (
        "  - if: responses.wax.state == 'refused'\n    then:\n"
        "      - webhook: tell\n        url: https://x.example/{{ responses.wax.id }}\n"
    )
    failure = tried(drafted, text).failure
    assert failure is not None
    assert (failure.step, failure.finding.line) == ("tell", 11)
    assert failure.responses == {"wax": {"state": "refused"}}, "without it, nobody comes by"
    assert failure.entry["contact"] == {"id": failure.number}
    # Whoever previews that contact with that response sees the same.
    given = PreviewInputs(at=AT, responses=failure.responses)
    steps = {step.id: step for step in preview(drafted(text), failure.entry, given).steps}
    assert steps["tell"].problem is not None
    assert steps["tell"].reachable


def test_what_no_template_expects_is_answered_where_no_schema_forbids_it(drafted: Drafts) -> None:
    body = '  - webhook: w\n    url: https://x.example/\n    body: {id: "{{ responses.wax.id }}"}\n'
    failure = tried(drafted, f"{ASK % ''}{body}").failure
    assert failure is not None
    assert not isinstance(failure.responses["wax"], dict)
    assert tried(drafted, f"{ASK % ', schema: {type: object}'}{body}").failure is None


def test_a_given_response_is_the_one_that_everybody_gets(drafted: Drafts) -> None:
    text = f"{ASK % ''}  - webhook: w\n    url: https://x.example/{{{{ responses.wax.id }}}}\n"
    assert tried(drafted, text).failure is not None
    given = PreviewInputs(at=AT, responses={"wax": {"id": "7"}})
    trial = attempt(drafted(text), 40, seed=0, given=given, each=lambda: None)
    assert (trial.failure, trial.rendered) == (None, 40)


def test_a_schema_that_nothing_made_up_fits_is_named(drafted: Drafts) -> None:
    schema = ", schema: {required: [id], properties: {id: {type: string, minLength: 9000}}}"
    trial = tried(drafted, f"{ASK % schema}  - sms: s\n    text: 'It is {{{{ responses.wax.id }}}}'\n")
    assert (trial.failure, trial.rendered, trial.unmade) == (None, 30, ["wax"])
    assert tried(drafted, ASK % "").unmade == []


def test_a_step_that_nobody_came_by_is_named_with_what_would_fail_there(drafted: Drafts) -> None:
    text = "steps:\n  - if: contact.firstname == contact.shoe\n    then:\n      - exit: early\n" + (
        "  - if: order.total_price > 5 and order.total_price < 5\n    then:\n"
        + "".join(f"    {line}\n" for line in HEADER.splitlines())
    )
    trial = tried(drafted, text)
    assert trial.failure is None
    missed = trial.missed["w"]
    assert missed is not None
    assert "a header cannot contain" in missed.message


def test_one_step_alone_can_be_tried(drafted: Drafts) -> None:
    text = f"steps:\n{HEADER}  - webhook: good\n    url: https://x.example/\n"
    assert tried(drafted, text, step="good").failure is None
    assert tried(drafted, text, step="w").failure is not None


def flat(data: Any) -> list[Any]:
    if isinstance(data, dict):
        return [item for value in cast("dict[str, Any]", data).values() for item in flat(value)]
    if isinstance(data, list):
        return [item for value in cast("list[Any]", data) for item in flat(value)]
    return [data]


def test_the_worst_values_of_every_kind_are_tried_and_let_in(drafted: Drafts) -> None:
    made = drafted("steps:\n  - sms: s\n    text: '{{ contact.custom.any }} {{ contact.shoe_size }}'\n")
    entries = [Samples(made, 0).entry(number) for number in range(1, 301)]
    trial = attempt(made, 300, seed=0, given=PreviewInputs(at=AT), step="none", each=lambda: None)
    assert (trial.rendered, trial.refused) == (300, 0)
    values = {repr(value) for entry in entries for value in flat(entry)}
    for pool in (worst.TEXTS, worst.NUMBERS, worst.IDS, worst.MOMENTS, worst.FLAGS):
        assert {repr(value) for value in pool} <= values
    assert all(parse_entry(entry).contact_id for entry in entries)
    assert any("shoe_size" in entry["contact"] for entry in entries), "unknown fields that templates name"
    lines = {len(entry["trigger"]["order"].get("products") or ()) for entry in entries}
    assert {0, 1, 2, MANY} <= lines
    assert entries[1]["contact"] == {"id": 2}, "one with nothing but an id"


REACHED = """
order.products.first.category == 'make-up'
order.products.size > 4
order.products | where: 'category', 'make-up' | size > 1
order.products | has: 'category', 'make-up'
order.products | map: 'quantity' | sum >= 12345
order.products[1].extid == 'Z9'
contact.lists | map: 'name' contains 'Newsletter'
contact.language | downcase == 'kl'
contact.custom.points | number | minus: 3 > 1000000
contact.custom.code | slice: 0, 3 == 'VIP'
contact.custom.code | size == 13
contact.custom.colours.of_the_year == 'red'
order.total_price | times: 2 | round == 98765
ticket.currency == 'XAF'
not (contact.custom.vip == 'gold' or contact.language == 'fr')
contact.custom.vip == 'gold' and (order.currency == 'XAF' or order.products | has: 'brand', 'Zz')
event.score | number >= 9
event.product.category == 'hats'
event.properties.colour == 'red' and event.properties.maker.name == 'Zz'
event.lines | map: 'sku' contains 'A'
responses.wax.user.name == 'Zoe'
responses.wax.lines.first.sku == 'A'
responses.wax.lines.size > 5
""".strip().splitlines()


def test_every_way_that_a_condition_opens_is_gone(drafted: Drafts) -> None:
    steps = [ASK % "", "  - wait_for: e\n"]
    steps += [f"  - if: {json.dumps(condition)}\n    then: [{{wait: 1d}}]\n" for condition in REACHED]
    made = drafted("".join(steps))
    samples, replies = Samples(made, 0), Replies(made, 0, {})
    gone: set[tuple[str | None, str]] = set()
    for number in range(1, 100):
        entry = samples.entry(number)
        given = PreviewInputs(at=AT, events=samples.events(number, entry), responses=replies.made(number))
        gone |= {(passed.row.asked, passed.outcome) for passed in preview(made, entry, given).steps}
    assert {(condition, way) for condition in REACHED for way in ("then", "else")} - gone == set()


def test_a_way_that_nobody_goes_is_named(drafted: Drafts) -> None:
    never = "steps:\n  - if: order.currency == 'EUR' and order.currency == 'USD'\n    then: [{sms: a, text: A}]\n"
    assert [*tried(drafted, never).missed] == ["a"]
    always = "steps:\n  - if: order.currency != 'EUR' or order.currency != 'USD'\n    then: [{sms: a, text: A}]\n"
    assert tried(drafted, always).untaken == {"if-1": ["else"]}


def test_every_branch_of_a_split_that_has_a_share_is_tried(drafted: Drafts) -> None:
    text = """steps:
  - split: {most: 99.99, few: 0.01, nobody: 0}
    branches:
      most: [{sms: most, text: hi}]
      few: [{webhook: w, url: "https://x.example/", headers: {X-Name: "a{{ contact.firstname }}b"}}]
      nobody: [{sms: never, text: hi}]
"""
    failure = tried(drafted, text).failure
    assert failure is not None
    assert failure.step == "w"
    trial = tried(drafted, text.replace("a{{ contact.firstname }}b", "b"))
    assert (trial.failure, list(trial.missed)) == (None, ["never"])
