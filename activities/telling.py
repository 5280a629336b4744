"""Reports suppressed addresses to the platform, by one workflow each, with the address sealed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple
from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.background import TELL_WORKFLOW, SuppressionNotice
from activities.interface import JOURNEYS
from activities.priority import priority_of
from activities.webhook.destinations.destinations import Destinations
from runtime.sealed_token import SealedToken
from scenario.policies.purpose import TRANSACTIONAL
from scenario.policies.suppression import Suppression

_CALL: Final = timedelta(seconds=5)


def address_seal(keys: Sequence[bytes]) -> SealedToken:
    """Return the seal for addresses in these workflows."""
    return SealedToken(keys, "address for the platform", "a1")


class Telling:
    """Starts the workflows: `activities.suppressing.Tell`.

    Args:
        client: Client of the workers' namespace.
        seal: Seals addresses.
        book: Returns the current destinations.
    """

    def __init__(self, client: Client, seal: SealedToken, book: Callable[[], Destinations]) -> None:
        self._client, self._seal, self._book = client, seal, book

    async def __call__(self, suppression: Suppression, address: str) -> None:
        """Report a suppression to every destination that wants it, once.

        Raises:
            RPCError: Temporal is unavailable.
        """
        for name, destination in self._book().destinations.items():
            wanted = destination.suppressions
            if wanted is None or suppression.source not in wanted.sources:
                continue
            news = SuppressionNotice(
                destination=name,
                channel=suppression.channel,
                address=self._seal.seal_fields([address]),
                source=suppression.source,
                scope=suppression.scope,
                at=suppression.suppressed_at.isoformat(),
            )
            with suppress(WorkflowAlreadyStartedError):
                await self._client.start_workflow(
                    TELL_WORKFLOW,
                    news,
                    id=_identifier(name, suppression),
                    task_queue=JOURNEYS,
                    id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                    static_summary=f"tell {name}: {suppression.channel} {suppression.source}",
                    priority=priority_of(TRANSACTIONAL),
                    rpc_timeout=_CALL,
                )


def _identifier(destination: str, suppression: Suppression) -> str:
    """Return the workflow's id: one per row of suppressions, and a new one if it was removed in between."""
    channel, address, source, at, scope, _ = astuple(suppression)
    what = "\n".join((channel, address, source, at.isoformat(), scope))
    return f"suppression/{destination}/{hashlib.sha256(what.encode()).hexdigest()[:32]}"
