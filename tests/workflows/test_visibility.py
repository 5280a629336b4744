"""What Temporal's UI shows of a journey, in Markdown."""

from datetime import UTC, datetime

import pytest

from scenario.plan.plan import Plan
from scenario.policies.draw import Lot
from scenario.steps.branch import IfRow
from scenario.steps.delivery import Send
from scenario.steps.exit import ExitRow
from scenario.steps.host import Rounds
from scenario.steps.repeat import RepeatRow
from scenario.steps.split import SplitRow
from scenario.steps.wait import WaitRow
from tests.stage import Stage
from workflows.state import Held, OperationRecord, State, StepRecord
from workflows.visibility import cut, details

PLAN = Plan(
    start="hook",
    steps={
        "hook": Send(kind="webhook", to="wax", next="if-2"),
        "if-2": IfRow(kind="if", condition="contact.lists | map: 'name' contains 'a'", then="pause", otherwise="bye"),
        "pause": WaitRow(kind="wait", seconds=172_800, next="last"),
        "bye": ExitRow(kind="exit", reason="no"),
        "last": Send(kind="email"),
    },
    zone="Europe/Paris",
)
HELD = Held(
    step="hook", kind="DeliveryPermanent", reason="wax answered 422", at="2026-03-31T08:00:00.123456+00:00", attempts=1
)
PAUSED = OperationRecord(name="pause", operator="ann", reason="incident 42", at="2026-03-31T09:00:00+00:00")
UNTIL = datetime(2026, 4, 2, 8, 0, 0, 999_999, tzinfo=UTC)
TITLE = "| | step | what | outcome | at |"


def lines(**more: object) -> list[str]:
    state = State(version=3, plan={}, zone="UTC", entered_at="2026-03-31T07:00:00+00:00", at="hook", root="r1")
    for name, value in more.items():
        setattr(state if hasattr(state, name) else state.memory, name, value)
    return details(state, PLAN, "a@3 · 7").splitlines()


def shown(**more: object) -> list[str]:
    told = lines(**more)
    return [line for line in told[1 : told.index(TITLE)] if line]


def steps(**more: object) -> list[str]:
    told = lines(**more)
    assert told[-2:] == ["", "Times of Europe/Paris."]
    return told[told.index(TITLE) + 2 : -2]


def test_a_held_or_paused_journey_says_why_and_what_to_do() -> None:
    held = [
        "**Held** at `hook` since 2026-03-31 10:00:00: wax answered 422, 1 attempt",
        "Decide with the updates `retry_step`, `skip_step` or `leave`.",
    ]
    paused = ["**Paused** since 2026-03-31 11:00:00 by ann: incident 42", "Let it go on with the update `resume`."]
    assert shown(held=HELD) == held
    assert shown(held=HELD, paused=PAUSED) == [*held, *paused]


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"until": UNTIL}, "Waiting at `hook` until 2026-04-02 10:00:00"),
        ({"until": UNTIL, "deferral": "quiet hours"}, "Waiting at `hook` until 2026-04-02 10:00:00: quiet hours"),
        ({"awaiting": "order.paid"}, "Waiting at `hook` for event `order.paid`"),
        (
            {"awaiting": "order.paid", "until": UNTIL},
            "Waiting at `hook` for event `order.paid` until 2026-04-02 10:00:00",
        ),
    ],
)
def test_a_journey_says_what_it_waits_for_and_until_when(known: dict[str, object], said: str) -> None:
    assert shown(**known) == [said]
    assert shown(**known, paused=PAUSED)[0].startswith("**Paused**")


def test_steps_say_what_they_do_and_the_way_that_was_not_taken_is_left_out() -> None:
    sent = StepRecord(id="hook", kind="webhook", outcome="delivered", at="2026-03-31T07:00:00+00:00", status=200)
    forked = StepRecord(id="if-2", kind="if", outcome="then", at="2026-03-31T07:00:00+00:00")
    condition = "if contact.lists / map: 'name' contains 'a'"  # a bar would be the table's
    assert steps(at="pause", since="2026-03-31T07:00:00.5+00:00", steps=[sent, forked], until=UNTIL) == [
        "| ✓ | `hook` | webhook → wax | delivered 200 | 2026-03-31 09:00:00 |",
        f"| ✓ | `if-2` | {condition} | then | 2026-03-31 09:00:00 |",
        "| ▶ | `pause` | wait 2d | waiting | 2026-03-31 09:00:00 |",
        "|  | `last` | email |  |  |",
    ]
    assert [line.split("`")[1] for line in steps()] == ["hook", "if-2", "pause", "bye", "last"]
    assert [line.split("`")[1] for line in steps(at=None, steps=[sent])] == ["hook"]


def test_a_journey_says_in_which_round_it_is() -> None:
    state = State(version=3, plan={}, zone="UTC", entered_at="2026-03-31T07:00:00+00:00", at="again", root="r1")
    state.memory.rounds["again"] = Rounds(number=2, began=state.entered_at, mark=1)
    again = RepeatRow(kind="repeat", every=86_400, times=4, first="hook")
    plan = Plan(start="again", steps={"again": again, "hook": Send(kind="webhook", to="wax", next="again")})
    assert "Round 2 of 4 of `again`" in details(state, plan, "a@3 · 7").splitlines()


def test_what_was_drawn_is_said_once_in_the_details() -> None:
    lot = Lot(seed="three/tone", shares={"a": 5000, "b": 5000})
    row = SplitRow(
        kind="split", seed=lot.seed, shares=tuple({"a": 5000, "b": 5000}.items()), branches={"a": None, "b": None}
    )
    done = StepRecord(
        id="tone", kind="split", outcome="a", at="2026-11-01T00:00:00+00:00", note="a (0.0412 of 1, by contact)"
    )
    state = State(version=1, plan={}, zone="UTC", entered_at=done.at, root="r", steps=[done])
    told = details(state, Plan(start="tone", steps={"tone": row}), "three@1")
    assert "| ✓ | `tone` | split a 50 b 50 | a (0.0412 of 1, by contact) | 2026-11-01 00:00:00 |" in told.splitlines()


def test_a_text_is_cut_between_characters_whatever_is_in_it() -> None:
    assert cut("é" * 9, 5) == "éé"
    assert cut("a\ud800b", 5) == "a?b"


async def test_the_step_that_asks_a_condition_stands_in_the_history(stage: Stage) -> None:
    await stage.publish(
        f"scenario: asks\ntrigger: segment\nsteps:\n- if: contact.id   !=\n    '{'x' * 400}'\n  then: [exit: done]\n"
    )
    handle = await stage.start("asks")
    await handle.result()
    events = (await handle.fetch_history()).events
    said = [event.user_metadata.summary.data.decode() for event in events if event.user_metadata.HasField("summary")]
    assert said == ['"if-1"', '"before the departure"']
