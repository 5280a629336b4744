"""A schema for tests, from the sample data: what a caller derives from its models."""

import re
from typing import Any, cast

from scenario.liquid.shapes import Anything, ListOf, Object, Roots, Tree, Value
from tests.scenario.liquid.samples import variables

TRIGGERS = {
    "order": ("order", "ticket"),
    "ticket": ("order", "ticket"),
    "abandoned_cart": ("cart",),
    "reward": ("reward",),
    "event": ("event",),
    "birthday": (),
    "segment": (),
}
OF_TRIGGERS = {name for names in TRIGGERS.values() for name in names}
TEXTS = ("timezone", "url", "image_url", "sku", "manager", "card_code", "store_external_id")
OPEN = ("custom", "properties", "responses", "secrets", "event")


def tree(name: str, value: Any) -> Tree:
    """The shape of a sample value."""
    match value:
        case bool():
            return Value("flag")
        case int() | float():
            return Value("number")
        case str():
            return Value("date" if re.match(r"\d{4}-\d\d-\d\d", value) else "text")
        case list():
            items = cast("list[Any]", value)
            return ListOf(tree(name, items[0]) if items else Anything())
        case dict():
            fields = cast("dict[str, Any]", value)
            if name in OPEN:
                return Object(open=True, requires_field=name == "secrets")
            return Object({key: tree(key, item) for key, item in fields.items()})
        case _:
            return Value("text") if name in TEXTS else Anything()


def schema(trigger: str) -> Roots:
    """What a template of a scenario with that trigger may name, in a webhook, after an event."""
    known = {name: tree(name, value) for name, value in variables().items()}
    mine = (*TRIGGERS[trigger], "event")
    elsewhere = {
        name: f"with the trigger {' or '.join(other for other, names in TRIGGERS.items() if name in names)}"
        for name in OF_TRIGGERS - set(mine)
    }
    return Roots({name: shape for name, shape in known.items() if name not in elsewhere}, elsewhere)
