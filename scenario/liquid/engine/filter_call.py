"""A use of a filter: bound to its function, checked when parsed, bounded at every call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from liquid.builtin.expressions import Filter, KeywordArgument
from liquid.exceptions import FilterArgumentError, LiquidError, ResourceLimitError, UndefinedError, UnknownFilterError
from liquid.expression import Expression
from liquid.token import Token

from scenario.liquid.engine.access import StrictMissing
from scenario.liquid.engine.limits import BoundReached, check_range, check_result, step_cost
from scenario.liquid.engine.values import JsonValueError, describe_type

if TYPE_CHECKING:
    from liquid import Environment

    from scenario.liquid.engine.context import Context


class FilterValueError(FilterArgumentError):
    """A value or argument that a filter does not accept. The message is for authors and quotes no data."""

    def __init__(self, message: str, token: Token | None = None) -> None:
        super().__init__(message, token=token)


class FilterCall(Filter):
    """One use of a filter.

    Attributes:
        function: The filter, bound to its environment.
        takes_missing: Whether it accepts a missing value, as ``default`` does.
        takes_context: Whether it reads variables, as ``date`` reads ``now``.
    """

    __slots__ = ("function", "keyword", "positional", "takes_context", "takes_missing")

    def __init__(self, parsed: Filter, function: Callable[..., Any], environment: Environment) -> None:
        super().__init__(parsed.token, parsed.name, parsed.args)
        if getattr(function, "with_environment", False):
            function = partial(function, environment=environment)
        self.function = function
        self.positional: list[Expression] = []
        self.keyword: list[tuple[str, Expression]] = []
        for argument in parsed.args:
            if isinstance(argument, KeywordArgument):
                self.keyword.append((argument.name, argument.value))
            else:
                self.positional.append(argument.value)
        self.takes_missing = parsed.name == "default"
        self.takes_context = bool(getattr(function, "with_context", False))

    def evaluate(self, left: object, context: Context) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
        budget = context.budget
        budget.steps -= 1 + step_cost(left)
        if budget.steps < budget.next_check:
            budget.check()
        arguments = [argument.evaluate(context) for argument in self.positional]
        named: dict[str, object] = {name: value.evaluate(context) for name, value in self.keyword}
        if self.takes_context:
            named["context"] = context
        try:
            if type(left) is StrictMissing and not self.takes_missing:
                left.raise_missing()
            for argument in arguments:
                if type(argument) is StrictMissing:
                    argument.raise_missing()
                elif type(argument) is Decimal:
                    check_result(self.name, argument)
            if type(left) in (int, Decimal):
                check_result(self.name, left)
            elif type(left) is range:
                check_range(left)
            made = self.function(left, *arguments, **named)
            check_result(self.name, made)
            budget.steps -= step_cost(made)
        except (FilterValueError, ResourceLimitError, UndefinedError) as error:
            error.token = error.token or self.token
            raise
        except JsonValueError as error:
            raise FilterValueError(f"'{self.name}': {error}", self.token) from error
        except RecursionError as error:
            raise BoundReached(f"'{self.name}' got a value that is nested too deeply", self.token) from error
        except MemoryError as error:
            raise BoundReached(f"'{self.name}' needs too much memory", self.token) from error
        except (LiquidError, ArithmeticError, ValueError, LookupError, TypeError, AttributeError) as error:
            # python-liquid's filters raise all of these for odd values. Their messages quote the values.
            given = f" and {', '.join(map(describe_type, arguments))}" if arguments else ""
            raise FilterValueError(
                f"'{self.name}' cannot work with {describe_type(left)}{given}", self.token
            ) from error
        return made


def bind_filter(parsed: Filter, environment: Environment) -> FilterCall:
    """Look up a filter and check the number and names of its arguments."""
    function = environment.filters.get(parsed.name)
    if function is None:
        raise UnknownFilterError(f"there is no filter '{parsed.name}'", token=parsed.token)
    if problem := find_argument_problem(parsed, function):
        raise FilterArgumentError(problem, token=parsed.token)
    return FilterCall(parsed, function, environment)


def find_argument_problem(parsed: Filter, function: Callable[..., Any]) -> str | None:
    """Return a message about the number or names of a filter's arguments, or None."""
    required, most, names = list_parameters(function)
    given = [argument for argument in parsed.args if not isinstance(argument, KeywordArgument)]
    for argument in parsed.args:
        if isinstance(argument, KeywordArgument) and argument.name not in names:
            return f"'{parsed.name}' has no argument '{argument.name}'"
    if required <= len(given) <= most:
        return None
    bound, limit = ("at least ", required) if len(given) < required else ("at most ", most)
    if required == most:
        bound = ""
    wanted = f"{bound}{limit or 'no'} argument{'' if limit == 1 else 's'}"
    return f"'{parsed.name}' takes {wanted}, not {len(given)}"


@lru_cache(maxsize=512)
def list_parameters(function: Callable[..., Any]) -> tuple[int, int, frozenset[str]]:
    """Return the least and the greatest number of arguments, and the names of keyword arguments."""
    parameters = inspect.signature(function).parameters
    named = {name for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY}
    _, *positional = (
        one for one in parameters.values() if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    )
    required = sum(one.default is one.empty for one in positional)
    return required, len(positional), frozenset(named - {"context", "environment"})
