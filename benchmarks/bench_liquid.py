"""The time to render templates compared with python-liquid without safety measures and, if installed, jinja2.

Run by hand, from the project's root: ``python -m benchmarks.bench_liquid``. All cases take turns in one run and are
measured in processor time, so that their ratios hold on a busy machine. The microseconds depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from liquid import Environment
from liquid.extra import JSON

from scenario import liquid
from scenario.check.variables import roots
from scenario.liquid.engine.environment import json_engine
from scenario.liquid.lint import lint
from scenario.liquid.sinks.body import _compile_part  # pyright: ignore[reportPrivateUsage]

DATA: dict[str, Any] = {
    "contact": {
        "id": 3028687,
        "firstname": "Zoé",
        "lastname": 'O\'Brien "La Zo"',
        "email": "zoe.obrien@example.com",
        "cellphone": "+33612345678",
        "language": "fr",
        "custom": {"civility": "mme", "vip": True, "orders_count": 12},
    },
    "order": {
        "external_id": "CGX0094",
        "currency": "EUR",
        "total_price": 66.25,
        "shipping_amount": 4.9,
        "ordered_at": "2026-07-15T18:45:00+02:00",
        "store": {"external_id": "2", "name": "Champs-Élysées"},
        "products": [
            {
                "external_id": str(10 + number),
                "name": f'Color Riche - Vernis "Rouge {number}"',
                "brand": "L'Oréal Paris",
                "unit_price": 10.25,
                "quantity": 1 + number % 2,
                "total_line_amount": 10.25 * (1 + number % 2),
                "image_url": f"https://cdn.example.com/{number}.jpg",
            }
            for number in range(5)
        ],
    },
    "now": "2026-07-16T10:00:00+02:00",
}

TEXT = """\
{
  "phone_number": "{{ contact.cellphone }}",
  "email": "{{ contact.email | downcase }}",
  "attributes": {
    "firstname": "{{ contact.firstname }}",
    "lastname": "{{ contact.lastname | default: 'friend' }}",
    "language": "{{ contact.language }}",
    "vip": {{ contact.custom.vip }},
    "order": "{{ order.external_id }}",
    "ordered_at": "{{ order.ordered_at | date: '%d/%m/%Y' }}",
    "total": {{ order.total_price }},
    "shipping": {{ order.shipping_amount | round: 2 }},
    "currency": "{{ order.currency }}",
    "store": "{{ order.store.name | upcase }}",
    "lines": [
      {% for p in order.products %}
      {
        "sku": "{{ p.external_id }}",
        "name": "{{ p.name }}",
        "brand": "{{ p.brand }}",
        "quantity": {{ p.quantity }},
        "price": {{ p.unit_price | times: p.quantity }},
        "image": "{{ p.image_url }}"
      }{% unless forloop.last %},{% endunless %}
      {% endfor %}
    ]
  }
}
"""


def add_json_filters(text: str) -> str:
    """Return the same body for an engine that does not escape JSON: each output has the filter `json`."""
    quoted = re.sub(r'"\{\{ (.*?) \}\}"', r"{{ \1 | json }}", text)
    return re.sub(r"\{\{ ((?:(?!\| json).)*?) \}\}", r"{{ \1 | json }}", quoted)


STRUCTURE: dict[str, Any] = {
    "phone_number": "{{ contact.cellphone }}",
    "email": "{{ contact.email | downcase }}",
    "attributes": {
        "firstname": "{{ contact.firstname }}",
        "lastname": "{{ contact.lastname | default: 'friend' }}",
        "language": "{{ contact.language }}",
        "vip": "{{ contact.custom.vip }}",
        "order": "{{ order.external_id }}",
        "ordered_at": "{{ order.ordered_at | date: '%d/%m/%Y' }}",
        "total": "{{ order.total_price }}",
        "shipping": "{{ order.shipping_amount | round: 2 }}",
        "currency": "{{ order.currency }}",
        "store": "{{ order.store.name | upcase }}",
        "lines": {
            "$for": "p in order.products",
            "$each": {
                "sku": "{{ p.external_id }}",
                "name": "{{ p.name }}",
                "brand": "{{ p.brand }}",
                "quantity": "{{ p.quantity }}",
                "price": "{{ p.unit_price | times: p.quantity }}",
                "image": "{{ p.image_url }}",
            },
        },
    },
}


def cases() -> dict[str, Callable[[], object]]:
    """Return the measured calls, by name. The first is the reference for the others."""
    stock = Environment()
    stock.add_filter("json", JSON())
    known = roots("order", event=True, secrets=("WAX_TOKEN",))
    bare = stock.from_string(add_json_filters(TEXT))
    plain = stock.from_string(TEXT)
    condition = "order.total_price > 20 and contact.cellphone != blank"
    url = "https://hooks.example.com/c/{{ contact.id }}"
    made: dict[str, Callable[[], object]] = {
        "python-liquid, parsed before, | json": lambda: bare.render(DATA),
        "python-liquid, parsed before, no escaping": lambda: plain.render(DATA),
        "ours, JSON text": lambda: liquid.render_json(TEXT, DATA),
        "ours, structure": lambda: liquid.render_json(STRUCTURE, DATA),
        "python-liquid, parse": lambda: stock.from_string(add_json_filters(TEXT)),
        "ours, cold parse of the text": lambda: json_engine().parse_template(TEXT),
        "ours, cold compile of the structure": lambda: _compile_part(STRUCTURE, ""),
        "ours, linter on the text": lambda: lint(TEXT, kind="json", schema=known),
        "ours, linter on the structure": lambda: lint(STRUCTURE, kind="json", schema=known),
        "ours, fields of the text": lambda: liquid.find_fields(TEXT, kind="json"),
        "ours, condition": lambda: liquid.evaluate_condition(condition, DATA),
        "ours, URL": lambda: liquid.render_url(url, DATA),
        "hand-written Python": lambda: json.dumps({"lines": [dict(p) for p in DATA["order"]["products"]]}),
    }
    if find_spec("jinja2"):
        jinja: Any = import_module("jinja2").Environment()
        source = add_json_filters(TEXT).replace("| json", "| tojson").replace("unless forloop.last", "if not loop.last")
        for liquid_word, jinja_word in (
            ("endunless", "endif"),
            ("| downcase", "| lower"),
            ("| upcase", "| upper"),
            ("| default: 'friend'", "| default('friend')"),
            (" | date: '%d/%m/%Y'", "[:10]"),
            ("| round: 2", "| round(2)"),
            ("p.unit_price | times: p.quantity", "(p.unit_price * p.quantity)"),
        ):
            source = source.replace(liquid_word, jinja_word)
        compiled = jinja.from_string(source)
        made["jinja2, compiled before"] = lambda: compiled.render(DATA)
    return made


def measure(made: dict[str, Callable[[], object]], rounds: int, calls: int) -> dict[str, float]:
    """Measure all cases in turns. Return the median microseconds of each."""
    taken: dict[str, list[float]] = {name: [] for name in made}
    for call in made.values():
        call()
    for _ in range(rounds):
        for name, call in made.items():
            start = time.thread_time()
            for _ in range(calls):
                call()
            taken[name].append((time.thread_time() - start) / calls * 1e6)
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=100)
    given = parser.parse_args()
    made = cases()
    taken = measure(made, given.rounds, given.calls)
    base = taken[next(iter(made))]
    for name, microseconds in taken.items():
        sys.stdout.write(f"{name:42} {microseconds:8.1f} µs {microseconds / base:6.2f} x\n")


if __name__ == "__main__":
    main()
