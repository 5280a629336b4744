# ruff: noqa: E501 - a case is a line
"""Reading templates: tokens, places of mistakes, and what is kept of what was read."""

import sys
import threading
from subprocess import run
from typing import Any

import pytest
from liquid import Environment

from scenario import liquid
from scenario.errors import TemplateError
from scenario.liquid.engine.environment import TemplateCache
from scenario.liquid.engine.lexer import template_stream
from tests.scenario.liquid.samples import pages


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("a\n{{ b", "'{{' is not closed: add '}}' (line 2, column 1)"),
        ("{% if a %}\n\nb", "'if' is not closed: add '{% endif %}' (line 3, column 2)"),
        ("a {% if %}", "this tag needs an expression (line 1, column 6)"),
        ("{% fo x in y %}", "there is no tag 'fo' (line 1, column 4)"),
        ("{% endif %}", "'endif' closes nothing: there is no open 'if' (line 1, column 4)"),
        ("{% else %}", "'else' is outside of its block (line 1, column 4)"),
        ("{{ a | }}", "a name is missing here (line 1, column 7)"),
        ("{{ a == b }}", "'==' is not expected here (line 1, column 6)"),
        ("{{ }}", "a value is missing here (line 1, column 3)"),
        ("{% for a b %}{% endfor %}", "expected 'in', not a name (line 1, column 10)"),
        ("{% for a in %}{% endfor %}", "a value is missing here (line 1, column 12)"),
        ("{% assign a b %}", "expected '=', not a name (line 1, column 13)"),
        ("{% if a =! b %}{% endif %}", "'=!' is written '!=' here (line 1, column 9)"),
        ("{% unless a %}{% elsif b && c %}{% endunless %}", "'&&' is written 'and' here (line 1, column 26)"),
        ("{% case a b %}{% endcase %}", "a name is not expected here (line 1, column 11)"),
        ("{% case a | nope %}{% endcase %}", "there is no filter 'nope' (line 1, column 13)"),
        ("{{ a if b }}", "Liquid has no 'if' inside an output: use the 'if' tag (line 1, column 6)"),
        ("{{ 'a }}", 'the quote "\'" is not closed (line 1, column 4)'),
        ("{% raw %}a", "'raw' is not closed: add '{% endraw %}' (line 1, column 4)"),
        ("{% comment %}a", "'comment' is not closed: add '{% endcomment %}' (line 1, column 4)"),
        ("{% capture 'a' %}{% endcapture %}", "expected a name, not a text in quotes (line 1, column 12)"),
        ("{% assign a.b = 1 %}", "expected a name, not a path with a '.' in it (line 1, column 11)"),
        ("{% for i in (1..2) limit: 'x' %}{% endfor %}", "a loop's limit and offset are whole numbers (line 1, column 27)"),
        ("{% assign n = 99999999 | times: 999999999999 %}{% for i in (1..n) %}{% endfor %}", "a range is too long for a loop (line 1, column 51)"),
        ("{% abort a.b %}", "'abort' takes a reason in quotes (line 1, column 10)"),
        ("{% abort 'a' b %}", "a name is not expected here (line 1, column 14)"),
        ("{% liquid\necho a\n| b\n%}", "a line of a 'liquid' tag starts with the name of a tag (line 3, column 1)"),
        ("{% liquid\necho a |\n%}", "a name is missing here (line 2, column 9)"),
        ("{% break %}", "'break' is outside of a loop (line 1, column 4)"),
        ("x\r\ny\rz {{ a | nope }}", "there is no filter 'nope' (line 3, column 10)"),
        ("x\u2028\x0b\x85{{ a | nope }}", "there is no filter 'nope' (line 1, column 12)"),
        ("{% case a %}{% when 1 and 2 %}{% endcase %}", "the values of 'when' are separated by 'or' or ',' (line 1, column 23)"),
        ("{{ [a] }}", "the name of a variable cannot be in a variable (line 1, column 4)"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_and_a_place(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        liquid.render_text(source, {})
    assert str(caught.value) == message


PYTHON_LIQUID = Environment()
ODD = [
    "a{{b}}c", "{{- b -}}", " {{- b -}} ", "{{-b}} c", "{%- if a -%} b {%- endif -%} ", "{{ }}", "{{-}}", "{{--}}",
    "{%#c%}", "{% raw %}{{ a }}{% endraw %}", "{%- raw -%} a {%- endraw -%} b",
    "{% comment %}a{{b}}{% endcomment %}c",
    "{% comment %}{% comment %}x{% endcomment %}{% raw %}{% endcomment %}{% endraw %}{% endcomment %}y",
    "{%if a%}{%endif%}", "{% assign x = '}}' %}{{ '%}' }}", "{{ a }}\n\n{{ b }}", "}} %} { % {",
    "{% doc %}x{% enddoc %}y", "{{a}}{{b}}{%c%}{%d e%}", "{%  assign   x  =  1  %}", "{{ a\n| b }}",
]  # fmt: skip


@pytest.mark.parametrize("source", [*ODD, *(page.source for page in pages() if isinstance(page.source, str))])
def test_tokens_are_those_of_python_liquid(source: str) -> None:
    ours = [(token.kind, token.value) for token in template_stream(source).tokens]
    assert ours == [(token.kind, token.value) for token in PYTHON_LIQUID.tokenizer()(source)]


@pytest.mark.parametrize("source", ODD)
def test_tokens_know_where_they_are(source: str) -> None:
    for token in template_stream(source).tokens:
        if token.kind != "comment":
            assert source.startswith(token.value, token.start_index)


def test_importing_what_is_slow_to_load_waits_for_its_use() -> None:
    code = (
        "import sys, scenario.liquid, scenario.liquid.shapes, scenario.policies.hours; "
        "print({'liquid', 'babel', 'phonenumbers', 'dateutil', 'holidays'} & set(sys.modules))"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_everything_that_is_offered_is_there() -> None:
    assert all(hasattr(liquid, name) for name in liquid.HOME_OF)
    with pytest.raises(AttributeError):
        liquid.nonsense  # noqa: B018 - the access is what is tested


def test_the_cache_keeps_what_was_used_last() -> None:
    made: list[str] = []

    def make(name: str) -> Any:
        return lambda: made.append(name) or name

    cache = TemplateCache[str](capacity=10)
    for name in ("a", "b", "a", "c", "a", "b"):
        assert cache.get(name, 4, make(name)) == name
    assert made == ["a", "b", "c", "b"]


def test_what_fails_is_not_kept() -> None:
    cache = TemplateCache[str]()
    with pytest.raises(ZeroDivisionError):
        cache.get("a", 1, lambda: str(1 // 0))
    assert cache.get("a", 1, lambda: "x") == "x"


def test_threads_may_share_templates() -> None:
    source = "{% for i in (1..20) %}{% cycle 'a', 'b' %}{{ x }}{% assign y = x | append: i %}{{ y }}{% endfor %}"
    expected = {name: liquid.render_text(source, {"x": name}) for name in ("p", "q", "r", "s")}
    wrong: list[str] = []

    def work(name: str) -> None:
        results = [liquid.render_text(source, {"x": name}) for _ in range(30)]
        wrong.extend(result for result in results if result != expected[name])

    threads = [threading.Thread(target=work, args=(name,)) for name in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
