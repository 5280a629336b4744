"""Plans of any shape, for maps."""

from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

from authoring.preview.draft import draft
from scenario.model.scenario import Scenario
from scenario.plan.compile import compile_plan
from scenario.plan.plan import Plan, dump_plan, load_plan

LONG: Final = "contact.custom.loyalty_programme_of_the_flagship_store != blank and order.total_price > 1000"
LONGEST_NAME: Final = f"x-{'antidisestablishmentarianism-' * 2}y"


@cache
def example(path: Path) -> Plan:
    """The plan of an example."""
    made, findings = draft(path)
    assert made is not None, findings
    return made.plan


def plan_of(steps: list[dict[str, Any]], **keys: Any) -> Plan:
    """The plan of a scenario with these steps, as a store would give it."""
    given = {"scenario": "a", "trigger": "order", "steps": steps, **keys}
    made = Scenario.model_validate(given, by_alias=True, by_name=False)
    return load_plan(dump_plan(compile_plan(made)))


def plan_of_jumps() -> Plan:
    """A plan that no file makes: with a way back, one to a step that is gone, and a step that nobody comes to."""
    return load_plan(
        {
            "start": "a",
            "steps": {
                "a": {"kind": "if", "condition": "x", "then": "b", "otherwise": "c"},
                "b": {"kind": "wait", "seconds": 1, "next": "a"},
                "c": {"kind": "wait", "seconds": 1, "next": "gone"},
                "d": {"kind": "wait", "seconds": 1},
            },
        }
    )


def many(count: int, seed: int = 0) -> Plan:
    """A plan of so many steps, with forks in forks."""
    chance, left = Random(seed), [count]

    def steps(depth: int, most: int) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        while left[0] > 0 and len(made) < most:
            number = left[0]
            left[0] -= 1
            made.append(_one(chance, f"step-{number}", depth, steps))
        if depth and chance.random() < 0.1:
            made.append({"exit": "the order was sent back, and the money with it, long before the parcel came"})
        return made or [{"wait": "1h"}]

    return plan_of(steps(0, count))


def _one(chance: Random, name: str, depth: int, steps: Any) -> dict[str, Any]:
    if depth >= 5 or chance.random() < 0.65:
        return chance.choice(
            [
                {"email": name, "subject": "s", "text": "t"},
                {"sms": f"{LONGEST_NAME}-{name}", "text": "t"},
                {"wait": {"until": "{{ reward.expiration_date }}", "offset": "-3d"}, "id": name},
                {"webhook": name, "url": "https://hooks.a-very-long-host.example.com/"},
                {"wait_for": "order.paid", "id": name},
            ]
        )

    def inner() -> list[dict[str, Any]]:
        return steps(depth + 1, chance.randint(1, 4))

    def maybe() -> list[dict[str, Any]]:
        return inner() if chance.random() < 0.7 else []

    match chance.randint(0, 5):
        case 0:
            return {"if": LONG, "id": name, "then": inner(), "else": maybe()}
        case 1:
            return {"wait_for": "order.delivered", "id": name, "for": "7d", "then": maybe(), "else": maybe()}
        case 2:
            return {"split": {"a": 50, "b": 45, "none": 5}, "id": name, "branches": {"a": maybe(), "b": maybe()}}
        case 3:
            cases = {value: maybe() for value in chance.sample(("fr", "a" * 99, "日本語の長い値です", "<b>", "10"), 3)}
            return {"switch": "contact.language", "id": name, "cases": cases, "else": maybe()}
        case 4:
            events = {"order.delivered": {"then": maybe()}, "order.lost": {}}
            return {"wait_for": events, "id": name, "for": "9d", "else": maybe()}
        case _:
            return {"repeat": {"every": "1w", "times": 4, "until": "order.paid"}, "id": name, "steps": inner()}
