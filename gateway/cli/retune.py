"""The command that changes the retry policy of deliveries in progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from gateway.cli.operate_many import OperationCommand, retune_many
from gateway.cli.options import BatchOptions, OperatorOptions, grouped, length
from scenario.words import Operation

DestinationArgument = Annotated[
    str,
    typer.Argument(
        metavar="DESTINATION", help="a destination's name or a host, as 'scenario deliveries' says; email, sms"
    ),
]


def _length(name: str, what: str) -> Any:
    return typer.Option(name, metavar="DURATION", parser=length, help=what)


def _number(name: str, what: str) -> Any:
    return typer.Option(name, metavar="N", help=what)


@dataclass(frozen=True, kw_only=True)
class _Policy:
    initial_interval: Annotated[float | None, _length("--initial-interval", "the pause before the second attempt")] = (
        None
    )
    backoff_coefficient: Annotated[
        float | None, _number("--backoff-coefficient", "by which each further pause is longer")
    ] = None
    maximum_interval: Annotated[float | None, _length("--maximum-interval", "the longest pause")] = None
    maximum_attempts: Annotated[
        int | None, _number("--maximum-attempts", "how many attempts at most; 0 means no limit")
    ] = None
    deadline: Annotated[float | None, _length("--deadline", "the time over all attempts, since the first was due")] = (
        None
    )


@grouped
def retune(destination: DestinationArgument, record: OperatorOptions, policy: _Policy, sending: BatchOptions) -> None:
    """Change the retry policy of the deliveries to a destination that are in progress.

    It applies immediately, also during a pause between attempts, and only to these deliveries, including those that
    have not been attempted yet.
    """
    from gateway.operations.retry_policy import Change

    change = Change(**vars(policy))
    raise typer.Exit(retune_many(OperationCommand(Operation.RETUNE, record, sending), destination, change))
