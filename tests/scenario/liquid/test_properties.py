"""What holds whatever the data: results parse, mean what was meant, and nothing can be added to them.

``LIQUID_EXAMPLES`` sets the number of examples of each property. Before a release, with an hour of processor time:
``LIQUID_EXAMPLES=100000 pytest tests/scenario/liquid/test_properties.py``.
"""

import datetime as dt
import json
import os
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import product
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenario import liquid
from scenario.errors import TemplateError
from scenario.liquid.engine.environment import text_engine
from scenario.liquid.engine.instrument import list_parameters

settings_ = settings(max_examples=int(os.environ.get("LIQUID_EXAMPLES", "100")))

# All of Unicode, lone surrogates too, and what hurts in JSON, HTML and URLs more often than chance would have it.
characters = st.characters(codec=None, exclude_categories=())
texts = st.one_of(
    st.text(characters, max_size=12),
    st.text(st.sampled_from(list("\"\\/{}[],:'<>&%\n\r\t\x00\x7f\u2028 .?#@é\ud800\udc00")), max_size=12),
    st.sampled_from(['x", "admin": true, "y": "', "{{ contact.email }}", "{% abort %}", "..", "null", "\\u0022", "\\"]),
)
numbers = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=2),
)
dates = st.one_of(st.dates(), st.datetimes(timezones=st.just(dt.UTC)))
scalars = st.one_of(st.none(), st.booleans(), numbers, dates, texts)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
items = st.lists(st.fixed_dictionaries({"v": values, "keep": st.booleans(), "t": texts}), max_size=4)
contacts = st.fixed_dictionaries(
    {"a": values, "b": values, "s": texts, "t": texts, "yes": st.booleans(), "items": items}
)


def plain(text: str) -> str:
    """A text as JSON in UTF-8 can hold it."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def as_json(value: Any) -> Any:
    match value:
        case str():
            return plain(value)
        case Decimal():
            whole = value == int(value) and abs(value) < 2**53
            return int(value) if whole else float(value) if Decimal(repr(float(value))) == value else str(value)
        case dt.date():
            return value.isoformat()
        case dict():
            return {plain(key): as_json(item) for key, item in cast("dict[str, Any]", value).items()}
        case list():
            return [as_json(item) for item in cast("list[Any]", value)]
        case _:
            return value


def written(value: Any) -> str:
    """A value as JSON text, in which two keys may have become alike: two broken characters are the same one then."""
    match value:
        case dict():
            pairs = cast("dict[str, Any]", value).items()
            return "{" + ",".join(f"{written(key)}:{written(item)}" for key, item in pairs) + "}"
        case list():
            return "[" + ",".join(map(written, cast("list[Any]", value))) + "]"
        case _:
            return json.dumps(as_json(value), ensure_ascii=False)


def as_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Decimal():
            return format(value, "f")
        case dt.date():
            return value.isoformat()
        case list():
            return "".join(map(as_text, cast("list[Any]", value)))
        case dict():
            return written(value)
        case _:
            return str(value)


keys = st.one_of(texts, st.sampled_from(["admin", "in", "x", "<x>", "\ud800", "\ufffd", ""]))


@given(keys, keys)
@settings_
def test_no_key_of_a_structure_takes_anothers_place(s: str, t: str) -> None:
    body = {"admin": False, "{{ s }}": 1, "<{{ t }}>": 2, "in": {"{{ s }}{{ t }}": 3, "x": "{{ t }}", "\ufffd": 4}}
    inner = [(plain(s + t), 3), ("x", plain(t)), ("\ufffd", 4)]
    outer = [("admin", False), (plain(s), 1), (plain(f"<{t}>"), 2), ("in", dict(inner))]
    if any(len(dict(pairs)) < len(pairs) for pairs in (outer, inner)):
        with pytest.raises(TemplateError, match="two keys of the same mapping are equal") as caught:
            liquid.render_json(body, {"s": s, "t": t})
        assert caught.value.line == 1
    else:
        assert json.loads(liquid.render_json(body, {"s": s, "t": t})) == dict(outer)


@dataclass(frozen=True)
class Made:
    """A part of a generated template and what it means.

    Attributes:
        text: As JSON text with Liquid.
        structure: As a structured body; a part of a list may be left out.
        means: Its value, by the variables in scope.
    """

    text: str
    structure: Any
    means: Callable[[dict[str, Any]], Any]


NAMES = st.sampled_from(["a", "b", "s", "t", "yes"])


def reached(name: str, scope: dict[str, Any]) -> Any:
    root, _, key = name.partition(".")
    return scope[root][key] if key else scope[root]


@st.composite
def parts(draw: st.DrawFn, depth: int = 0, loops: tuple[str, ...] = ()) -> Made:
    leaves = ["constant", "output", "string"]
    kind = draw(st.sampled_from(leaves if depth > 2 else [*leaves, "object", "list", "loop", "loop", "if"]))
    name = draw(st.one_of(NAMES, *(st.sampled_from([f"{loop}.v", f"{loop}.t"]) for loop in loops)))
    inner = parts(depth + 1, loops)
    match kind:
        case "constant":
            value = draw(st.sampled_from([None, True, 3, "x", 'é"\\ ]}, {', []]))
            return Made(json.dumps(value), value, lambda _: value)
        case "output":
            return Made(f"{{{{ {name} }}}}", f"{{{{ {name} }}}}", lambda scope: as_json(reached(name, scope)))
        case "string":
            before = draw(st.sampled_from(["", "a ", 'q"', "\\", "["]))
            other = draw(NAMES)
            return Made(
                f'"{json.dumps(before)[1:-1]}{{{{ {name} }}}}{{{{ {other} }}}}."',
                f"{before}{{{{ {name} }}}}{{{{ {other} }}}}.",
                lambda scope: plain(before + as_text(reached(name, scope)) + as_text(scope[other]) + "."),
            )
        case "object":
            made = [draw(inner) for _ in range(draw(st.integers(0, 3)))]
            pairs = ",".join(f'"k{index}": {part.text}' for index, part in enumerate(made))
            return Made(
                f"{{{pairs}}}",
                {f"k{index}": part.structure for index, part in enumerate(made)},
                lambda scope: {f"k{index}": part.means(scope) for index, part in enumerate(made)},
            )
        case "list":
            made = [draw(inner) for _ in range(draw(st.integers(0, 3)))]
            return Made(
                f"[{' , '.join(part.text for part in made)}]",
                [part.structure for part in made],
                lambda scope: [part.means(scope) for part in made],
            )
        case "if":
            then, otherwise = draw(inner), draw(inner)
            return Made(
                f"{{% if {name} %}}{then.text}{{% else %}}{otherwise.text}{{% endif %}}",
                {"$if": name, "$then": then.structure, "$else": otherwise.structure},
                lambda scope: (
                    then
                    if reached(name, scope) not in (None, False)
                    or (reached(name, scope) == 0 and reached(name, scope) is not False)
                    else otherwise
                ).means(scope),
            )
        case _:
            return draw(loop_parts(depth, loops))


@st.composite
def loop_parts(draw: st.DrawFn, depth: int, loops: tuple[str, ...]) -> Made:
    """A list made by a loop, its commas in one of the ways that people write them."""
    variable = f"i{depth}"
    each = draw(parts(depth + 1, (*loops, variable)))
    style = draw(st.sampled_from(["unless last", "always", "unless first", "filtered"]))
    body = {
        "unless last": f"{each.text}{{% unless forloop.last %}},{{% endunless %}}",
        "always": f"{each.text} , ",
        "unless first": f"{{% unless forloop.first %}},{{% endunless %}}{each.text}",
        "filtered": f"{{% if {variable}.keep %}}{each.text}{{% unless forloop.last %}},{{% endunless %}}{{% endif %}}",
    }[style]
    item: Any = {"$if": f"{variable}.keep", "$then": each.structure} if style == "filtered" else each.structure

    def means(scope: dict[str, Any]) -> list[Any]:
        kept = [one for one in scope["items"] if one["keep"] or style != "filtered"]
        return [each.means({**scope, variable: one}) for one in kept]

    loop = f"{variable} in items"
    return Made(f"[{{% for {loop} %}}{body}{{% endfor %}}]", {"$for": loop, "$each": item}, means)


@given(parts(), contacts)
@settings_
def test_any_json_text_means_what_it_says(made: Made, data: dict[str, Any]) -> None:
    assert json.loads(liquid.render_json(made.text, data)) == made.means(data)


@given(st.dictionaries(st.sampled_from(["x", "y", "z"]), parts(), max_size=3), contacts)
@settings_
def test_any_structure_means_what_it_says(made: dict[str, Made], data: dict[str, Any]) -> None:
    body = {key: part.structure for key, part in made.items()}
    assert json.loads(liquid.render_json(body, data)) == {key: part.means(data) for key, part in made.items()}


URL = "https://hooks.example.com:8443/v1/{{ s }}/x-{{ t }}?q={{ a }}&r={{ t }}#{{ s }}"


@given(contacts)
@settings_
def test_data_cannot_leave_its_place_in_a_url(data: dict[str, Any]) -> None:
    if data["s"] in ("", ".", ".."):
        with pytest.raises(TemplateError) as caught:
            liquid.render_url(URL, data)
        assert caught.value.offset == URL.index("{{ s }}")
        return
    url = liquid.render_url(URL, data)
    parsed = urllib.parse.urlsplit(url)
    assert (parsed.scheme, parsed.netloc) == ("https", "hooks.example.com:8443")
    assert [urllib.parse.unquote(part) for part in parsed.path.split("/")] == [
        "",
        "v1",
        plain(data["s"]),
        plain(f"x-{data['t']}"),
    ]
    expected = [("q", plain(as_text(data["a"]))), ("r", plain(data["t"]))]
    assert urllib.parse.parse_qsl(parsed.query, keep_blank_values=True) == expected
    assert re.fullmatch(r"[!-~]+", url)


FILTERS = st.sampled_from(sorted(set(text_engine().filters) - {"safe", "escapejs"}))


def refusal(render: Callable[[], object]) -> TemplateError | None:
    """The error that a rendering ends in, if any. Any other error than ours is passed on."""
    try:
        render()
    except TemplateError as error:
        return error
    return None


ODD: list[Any] = [
    None, True, 1, 2.5, "x", "", [1, "a", None], {"a": 1}, [[[]]], float("inf"), float("nan"), Decimal("NaN"),
    Decimal("sNaN"), Decimal("Infinity"), Decimal("1E+999999"), Decimal("-1E-999999"), 10**400, "9" * 5000, "\ud800",
    b"bytes", {1, 2}, object(), range(10**30),
]  # fmt: skip
ARGUMENTS: list[Any] = [None, 1, "x", Decimal("1E+999999"), float("inf"), {"a": 1}, [1], "9" * 5000, 10**400, -3]

odd = st.one_of(values, st.sampled_from(ODD))
TAGS = [
    "{% for i in x limit: y offset: z %}{{ i }}{% endfor %}",
    "{% for i in (x..y) %}{{ i }}{% break %}{% endfor %}",
    "{% tablerow i in x cols: y limit: z %}{{ i }}{% endtablerow %}",
    "{% if x == y or x != z %}a{% endif %}{% if x contains y %}b{% endif %}",
    "{% if x < y %}a{% endif %}{% unless x >= z %}b{% endunless %}",
    "{% case x %}{% when y, z %}a{% else %}b{% endcase %}",
    "{% cycle x: y, z %}{% increment x %}{{ x }}{% decrement y %}",
    "{% capture c %}{{ x }}{{ y }}{% endcapture %}{{ c }}{% ifchanged %}{{ z }}{% endifchanged %}",
    "{{ x[y] }}{{ x.size }}{{ x.first }}{{ x.last[z] }}{{ x['a'][0] }}",
    "{% assign a = x | default: y %}{{ a }}{% echo z %}",
]
BODIES: list[Any] = [
    {"a": "{{ x }}", "{{ y }}": "{{ z }}"},
    {"$for": "i in x limit: y", "$each": {"$if": "i == z", "$then": "{{ i }}"}},
    {"$let": {"n": "{{ x }}"}, "$in": ["{{ n }}", "{{ n[y] }}"]},
]


@given(st.sampled_from(BODIES + TAGS), odd, odd, odd)
@settings_
def test_odd_data_end_in_a_result_or_an_error_of_ours(source: Any, x: Any, y: Any, z: Any) -> None:
    data = {"x": x, "y": y, "z": z}
    if isinstance(source, str):
        refusal(partial(liquid.render_text, source, data))
        refusal(partial(liquid.render_html, source, data))
        refusal(partial(liquid.evaluate_value, source, data))
    refusal(partial(liquid.render_json, source, data))


def calls(name: str) -> list[tuple[str, dict[str, Any]]]:
    least, most, _ = list_parameters(text_engine().filters[name])
    made: list[tuple[str, dict[str, Any]]] = []
    for number in range(least, min(most, 2) + 1):
        given = ", ".join(f"a{index}" for index in range(number))
        source = f"{{{{ x | {name}{': ' if given else ''}{given} }}}}"
        for value, *arguments in product(ODD, *[ARGUMENTS if number < 2 else ARGUMENTS[:4]] * number):
            made.append((source, {"x": value, **{f"a{index}": item for index, item in enumerate(arguments)}}))
    return made


@pytest.mark.parametrize("name", text_engine().filters)
def test_a_filter_takes_anything(name: str) -> None:
    for source, data in calls(name):
        if (error := refusal(partial(liquid.render_text, source, data))) is not None:
            assert error.line == 1, error
            assert len(error.reason) < 150
