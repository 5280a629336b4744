"""The search attributes of journeys: their names, and their registration with the server.

Workflow code imports this module: importing it does nothing and pulls in no client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from temporalio.common import SearchAttributeKey

from runtime.errors import AttributesMissing, ConnectionFailed

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowExecution
    from temporalio.service import RPCError

SCENARIO_NAME: Final = SearchAttributeKey.for_keyword("ScenarioName")
"""The scenario's name. Set when a journey starts."""

CONTACT_ID: Final = SearchAttributeKey.for_keyword("ContactId")
"""The contact's id. Set when a journey starts."""

SCENARIO_VERSION: Final = SearchAttributeKey.for_keyword("ScenarioVersion")
"""Name and version, ``post-purchase@3``. Written when a journey begins to wait or is held."""

STEP_ID: Final = SearchAttributeKey.for_keyword("StepId")
"""The step that it waits at or is held at. Written together with `JOURNEY_STATE`."""

JOURNEY_STATE: Final = SearchAttributeKey.for_keyword("JourneyState")
"""``running``, ``waiting``, ``held`` or ``paused``."""

DESTINATION: Final = SearchAttributeKey.for_keyword("Destination")
"""What a held delivery goes to: the name of a destination, a host, a channel. Written with a hold, and gone with it."""

HELD_REASON: Final = SearchAttributeKey.for_keyword("HeldReason")
"""Why it is held, in one of the words of `workflows.state.Held.cause`. With `DESTINATION`."""

LAST_HELD: Final = "LastHeld"
"""Not an attribute but a field of the memo, which search gives along: why a journey was held the last time, as JSON."""

ALL: Final = (SCENARIO_NAME, CONTACT_ID, SCENARIO_VERSION, STEP_ID, JOURNEY_STATE, DESTINATION, HELD_REASON)
"""Every one. All are Keywords: SQL visibility stores have room for ten of these and for three of most other types."""

RUNNING: Final = "WorkflowType = 'Journey' AND ExecutionStatus = 'Running'"
"""The query for running journeys. It leaves out those paused on the server, which the SDK's client cannot read."""

_POLL = 0.1  # seconds between two looks


def quote(text: str) -> str:
    """Return a text as a value in a query of Temporal's search."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


async def read_last_hold(execution: WorkflowExecution) -> Mapping[str, Any] | None:
    """Why a journey was held the last time, as it noted in its memo; None where it never was, or nobody can read it."""
    try:
        return (await execution.memo()).get(LAST_HELD)
    except Exception:  # of whatever codec: of an erased contact, say. One journey must not hide the others
        return None


def command(namespace: str, names: Sequence[str] = tuple(key.name for key in ALL)) -> str:
    """The command that registers the attributes, for a person who may."""
    listed = "".join(f" --name {name} --type Keyword" for name in names)
    return f"temporal operator search-attribute create --namespace {namespace}{listed}"


async def ensure(client: Client, *, patience: float = 30.0) -> None:
    """Registers the attributes that are missing in the client's namespace, and waits until they can be used.

    To be called before a worker starts: a journey that writes an attribute which the server does not know fails its
    workflow task over and over. Processes that start together may all call it.

    Args:
        patience: Seconds that the whole may take. A cluster's visibility store takes some to learn of an attribute.

    Raises:
        AttributesMissing: This process may not register them, one is there with another type, or the server took too
            long; the message holds the command to run.
        ConnectionFailed: The server cannot be reached.
    """
    # Here, not above: workflow code imports the names only.
    from temporalio.service import RPCError, RPCStatusCode

    try:
        async with asyncio.timeout(patience):
            missing = await _missing(client)
            if missing is None and await are_usable(client):
                return
            wanted = [key.name for key in ALL] if missing is None else missing
            if wanted:
                await _add(client, wanted)
            while True:
                if await are_usable(client):
                    return
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise AttributesMissing(
            f"the search attributes of namespace {client.namespace} cannot be used after {patience:g} s: look at the "
            f"server's visibility store, or register them yourself with `{command(client.namespace)}`"
        ) from None
    except RPCError as error:
        if error.status in {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}:
            raise ConnectionFailed("the Temporal server went away while search attributes were registered") from error
        raise AttributesMissing(
            f"this process could not register search attributes in namespace {client.namespace} "
            f"({error.status.name}): have them registered with `{command(client.namespace)}`"
        ) from error


async def _missing(client: Client) -> list[str] | None:
    """Which are not registered; None where the server does not let us list them."""
    from temporalio.api.enums.v1 import IndexedValueType
    from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
    from temporalio.service import RPCError

    try:
        listed = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
    except RPCError as error:
        if not _denied(error):
            raise
        return None
    known = dict(listed.custom_attributes)
    for name in (key.name for key in ALL):
        if known.get(name, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD) != IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD:
            raise AttributesMissing(
                f"the search attribute {name} of namespace {client.namespace} is not a Keyword: remove it with "
                f"`temporal operator search-attribute remove --namespace {client.namespace} --name {name}`, then "
                f"register it with `{command(client.namespace, [name])}`"
            )
    return [key.name for key in ALL if key.name not in known]


async def _add(client: Client, names: Sequence[str]) -> None:
    from temporalio.api.enums.v1 import IndexedValueType
    from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
    from temporalio.service import RPCError, RPCStatusCode

    for name in names:
        # One a call: where several processes register at once, each gets on with what is left.
        request = AddSearchAttributesRequest(
            namespace=client.namespace, search_attributes={name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD}
        )
        try:
            await client.operator_service.add_search_attributes(request)
        except RPCError as error:
            if error.status is not RPCStatusCode.ALREADY_EXISTS:
                raise


async def are_usable(client: Client) -> bool:
    """Return True if a query may name all attributes. It finds nothing, and costs the server little."""
    from temporalio.service import RPCError, RPCStatusCode

    try:
        await client.count_workflows(" AND ".join(f"{key.name} = ''" for key in ALL))
    except RPCError as error:
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            return False
        # A server without queries (the time-skipping test server), or an account that may not query: the
        # registration has to be trusted.
        if not _denied(error):
            raise
    return True


def _denied(error: RPCError) -> bool:
    from temporalio.service import RPCStatusCode

    return error.status in {RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED}
