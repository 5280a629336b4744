"""A JSON body written as a structure: Liquid stands in the leaves and keys of a YAML mapping.

A leaf that is one output, ``"{{ order.total_price }}"``, keeps the type of its value; any other leaf is a text. Four
forms steer what is written, each a mapping of nothing but its own keys:

* ``{$for: "item in order.products limit: 3", $each: …, $else: …}``: a list, with ``forloop``; ``$else`` where there
  is nothing to loop over.
* ``{$if: "order.store", $then: …, $else: …}``: one or the other; without ``$else`` the key or item is left out.
* ``{$let: {name: …}, $in: …}``: names for parts that are used more than once.
* A key that starts with ``$$`` is the key with one ``$``.

The body is compiled once into parts that write JSON text; what has no Liquid in it is encoded while compiling.
"""

from __future__ import annotations

import datetime as dt
import marshal
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, cast

from liquid.exceptions import LiquidError

from scenario.errors import TemplateError
from scenario.liquid.engine.cache import Cache
from scenario.liquid.engine.context import Context
from scenario.liquid.engine.environment import Template
from scenario.liquid.engine.errors import mistake, translated
from scenario.liquid.engine.sink import Sink
from scenario.liquid.sinks.json_text import encoded
from scenario.liquid.sinks.structured_compiler import BodyCompiler, nobody
from scenario.liquid.sinks.structured_parts import Written


@dataclass(frozen=True, slots=True)
class Body:
    """A compiled body.

    Attributes:
        root: Its outermost part.
    """

    root: Written
    _holder: Template

    def text(self, data: Mapping[str, Any]) -> str:
        """The body as compact JSON.

        Raises:
            TemplateError: It cannot be rendered with these data; with the place in the body and the position there.
            Aborted: A leaf says that nothing is to be sent.
        """
        sink = Sink()
        context = Context(self._holder, globals=data)
        try:
            part = self.root.chosen(context)
            sink.put("null") if part is None else part.write(context, sink, "")
        except LiquidError as error:
            source = error.token.source if error.token is not None else ""
            raise translated(error, source, at=str(error.template_name or "")) from error
        except RecursionError as error:
            raise mistake("the body got a value that is nested too deeply", "", None, limit=True) from error
        return sink.getvalue()


_bodies: Final = Cache[Body]()


def compiled(body: Mapping[str, Any] | list[Any]) -> Body:
    """A body, compiled now or before.

    Args:
        body: Mappings, lists, texts, numbers, as YAML gives them.

    Raises:
        TemplateError: It is malformed; with the place and, in a leaf, the position there.
    """
    key = _content(body)
    return _bodies.get(key, len(key), lambda: Body(BodyCompiler().part(body, ""), nobody()))


def _content(body: Any) -> bytes:
    """What a body is, as a key. ``marshal`` is the fastest way to walk plain values."""
    try:
        return marshal.dumps(body, 2)
    except ValueError:
        # A date that YAML made of unquoted text, or a mapping that is not a dict.
        return marshal.dumps(_plain(body), 2)


def _plain(body: Any) -> Any:
    if isinstance(body, Mapping):
        return {_plain(key): _plain(value) for key, value in cast("Mapping[Any, Any]", body).items()}
    if isinstance(body, list | tuple):
        return [_plain(item) for item in cast("list[Any]", body)]
    if isinstance(body, dt.date | dt.datetime | dt.time | Decimal):
        return f"{type(body).__name__}:{body}"
    if body is None or isinstance(body, str | int | float):
        return body
    raise TemplateError(f"a body is made of mappings, lists, texts and numbers, not of {type(body).__name__}")


def render_structured(body: Mapping[str, Any] | list[Any], data: Mapping[str, Any]) -> bytes:
    """A structured body as compact JSON in UTF-8.

    Args:
        body: The structure.
        data: The variables; one that is missing is a mistake.

    Raises:
        TemplateError: The body is malformed, or cannot be rendered with these data.
        LimitExceeded: It would be larger than ``MAX_BODY``.
        Aborted: A leaf says that nothing is to be sent.
    """
    return encoded(compiled(body).text(data), "")
