"""A filter as it is used in a template: bound to its function, checked once, bounded at every call."""

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
from scenario.liquid.engine.limits import BoundReached, check_made, check_range, cost
from scenario.liquid.engine.values import NoJson, describe

if TYPE_CHECKING:
    from liquid import Environment

    from scenario.liquid.engine.context import Context


class Unfit(FilterArgumentError):
    """A value or an argument that a filter cannot work with. The message is fit for people and quotes no data."""

    def __init__(self, message: str) -> None:
        super().__init__(message, token=None)


class FilterCall(Filter):
    """One use of a filter.

    Attributes:
        function: The filter, with what it needs to know of the environment.
        positional: Its arguments.
        keyword: Its named arguments.
        takes_missing: Whether the filter has a use for a missing value, as ``default`` has.
        takes_context: Whether the filter reads variables, as ``date`` reads ``now``.
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
        """Apply the filter.

        Raises:
            LiquidError: The filter cannot work with these values, or its result is too large. With a position, and
                without quoting a value.
        """
        budget = context.budget
        budget.steps -= 1 + cost(left)
        if budget.steps < budget.next_look:
            budget.look()
        arguments = [argument.evaluate(context) for argument in self.positional]
        named: dict[str, object] = {name: value.evaluate(context) for name, value in self.keyword}
        if self.takes_context:
            named["context"] = context
        try:
            if type(left) is StrictMissing and not self.takes_missing:
                left.refuse()
            for argument in arguments:
                if type(argument) is StrictMissing:
                    argument.refuse()
                elif type(argument) is Decimal:
                    check_made(self.name, argument)
            if type(left) in (int, Decimal):
                check_made(self.name, left)
            elif type(left) is range:
                check_range(left)
            made = self.function(left, *arguments, **named)
            check_made(self.name, made)
            budget.steps -= cost(made)
        except (Unfit, ResourceLimitError, UndefinedError) as error:
            error.token = error.token or self.token
            raise
        except NoJson as error:
            raise _unfit(f"'{self.name}': {error}", self.token) from error
        except RecursionError as error:
            raise BoundReached(f"'{self.name}' got a value that is nested too deeply", self.token) from error
        except MemoryError as error:
            raise BoundReached(f"'{self.name}' needs too much memory", self.token) from error
        except (LiquidError, ArithmeticError, ValueError, LookupError, TypeError, AttributeError) as error:
            # python-liquid's filters raise all of these for odd values, and quote them.
            raise _unfit(self._cannot(left, arguments), self.token) from error
        return made

    def _cannot(self, left: object, arguments: list[object]) -> str:
        given = f" and {', '.join(describe(argument) for argument in arguments)}" if arguments else ""
        return f"'{self.name}' cannot work with {describe(left)}{given}"


def _unfit(message: str, token: Token) -> Unfit:
    error = Unfit(message)
    error.token = token
    return error


def bind(parsed: Filter, environment: Environment) -> FilterCall:
    """Look a filter up and check its arguments' number and names.

    Raises:
        UnknownFilterError: There is no such filter.
        FilterArgumentError: It takes other arguments.
    """
    function = environment.filters.get(parsed.name)
    if function is None:
        raise UnknownFilterError(f"there is no filter '{parsed.name}'", token=parsed.token)
    if problem := arguments_problem(parsed, function):
        raise FilterArgumentError(problem, token=parsed.token)
    return FilterCall(parsed, function, environment)


def arguments_problem(parsed: Filter, function: Callable[..., Any]) -> str | None:
    """What is wrong with the number or the names of a filter's arguments, or None."""
    required, most, names = parameters(function)
    given = [argument for argument in parsed.args if not isinstance(argument, KeywordArgument)]
    for argument in parsed.args:
        if isinstance(argument, KeywordArgument) and argument.name not in names:
            return f"'{parsed.name}' has no argument '{argument.name}'"
    if required <= len(given) <= most:
        return None
    if required == most:
        wanted = f"{required or 'no'} argument{'' if required == 1 else 's'}"
    elif len(given) < required:
        wanted = f"at least {required} argument{'' if required == 1 else 's'}"
    else:
        wanted = f"at most {most} argument{'' if most == 1 else 's'}"
    return f"'{parsed.name}' takes {wanted}, not {len(given)}"


@lru_cache(maxsize=512)
def parameters(function: Callable[..., Any]) -> tuple[int, int, frozenset[str]]:
    """How a filter may be called.

    Args:
        function: The filter's function; its first parameter is the value that the filter is applied to.

    Returns:
        The least and the greatest number of arguments, and the names of named arguments.
    """
    positional = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ][1:]
    names = {
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in ("context", "environment")
    }
    required = sum(parameter.default is parameter.empty for parameter in positional)
    return required, len(positional), frozenset(names)
