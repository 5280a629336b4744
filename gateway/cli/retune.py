"""The command that changes the retry policy of deliveries under way."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.choices import DryRunOption, RateOption, SomeOption, YesOption
from gateway.cli.operate import requested
from gateway.cli.options import Format, FormatOption, OperatorOption, ReasonOption, length

DestinationArgument = Annotated[
    str,
    typer.Argument(
        metavar="DESTINATION", help="a destination's name or a host, as 'scenario deliveries' says; email, sms"
    ),
]


def _length(name: str, what: str) -> Any:
    return typer.Option(name, metavar="DURATION", parser=length, help=what, show_default=False)


InitialOption = Annotated[float | None, _length("--initial-interval", "the pause before the second attempt")]
MaximumOption = Annotated[float | None, _length("--maximum-interval", "the longest pause")]
DeadlineOption = Annotated[float | None, _length("--deadline", "the time over all attempts, since the first was due")]
CoefficientOption = Annotated[
    float | None,
    typer.Option(
        "--backoff-coefficient", metavar="N", help="by which each further pause is longer", show_default=False
    ),
]
AttemptsOption = Annotated[
    int | None,
    typer.Option(
        "--maximum-attempts", metavar="N", help="at most so many attempts; 0 means no limit", show_default=False
    ),
]


def retune(
    destination: DestinationArgument,
    reason: ReasonOption,
    initial_interval: InitialOption = None,
    backoff_coefficient: CoefficientOption = None,
    maximum_interval: MaximumOption = None,
    maximum_attempts: AttemptsOption = None,
    deadline: DeadlineOption = None,
    operator: OperatorOption = None,
    pace: RateOption = "10/s",  # pyright: ignore[reportArgumentType] - its parser makes it a number
    limit: SomeOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    form: FormatOption = Format.TEXT,
) -> None:
    """Change the retry policy of the deliveries to a destination that are under way.

    At once, also during a pause, and for these deliveries only: those between two attempts, and those that have not
    been attempted yet.
    """
    from gateway.cli import operate_many
    from gateway.operations.retry_policy import Change

    change = Change(
        initial_interval=initial_interval,
        backoff_coefficient=backoff_coefficient,
        maximum_interval=maximum_interval,
        maximum_attempts=maximum_attempts,
        deadline=deadline,
    )
    request = requested("retune", reason, operator, pace, limit, dry_run, yes, form)
    raise typer.Exit(operate_many.retune(request, destination, change))
