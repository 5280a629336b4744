"""Names and registration of journeys' search attributes.

Workflow code imports this module, so importing it has no effects and loads no client.
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

SCENARIO_NAME: Final = SearchAttributeKey.for_keyword("ScenarioName")  # set at the start
CONTACT_ID: Final = SearchAttributeKey.for_keyword("ContactId")  # set at the start

SCENARIO_VERSION: Final = SearchAttributeKey.for_keyword("ScenarioVersion")
"""``post-purchase@3``. Set when a journey starts to wait or is held."""

STEP_ID: Final = SearchAttributeKey.for_keyword("StepId")
"""The step at which it waits, is retrying or held. Set with `JOURNEY_STATE`."""

JOURNEY_STATE: Final = SearchAttributeKey.for_keyword("JourneyState")
"""``running``, ``waiting``, ``retrying``, ``held`` or ``paused``."""

DESTINATION: Final = SearchAttributeKey.for_keyword("Destination")
"""Destination, host or channel of a held or delayed delivery. Set and removed with that `JOURNEY_STATE`."""

HELD_REASON: Final = SearchAttributeKey.for_keyword("HeldReason")
"""Reason of a hold, see `workflows.state.Held.cause`. Set with `DESTINATION`."""

LAST_HELD: Final = "LastHeld"
"""A field of the memo, not an attribute, which search returns as well: the latest hold, as JSON."""

ALL: Final = (SCENARIO_NAME, CONTACT_ID, SCENARIO_VERSION, STEP_ID, JOURNEY_STATE, DESTINATION, HELD_REASON)
"""All are Keywords: SQL visibility stores have room for ten of these, and for three of most other types."""

RUNNING: Final = "WorkflowType = 'Journey' AND ExecutionStatus = 'Running'"
"""The query for running journeys. It leaves out those paused on the server, which the SDK's client cannot read."""


def running(state: str | None) -> str:
    """Return the query for what runs, without the state itself. Held batch calls are listed with journeys."""
    return "WorkflowType IN ('Journey', 'Batch') AND ExecutionStatus = 'Running'" if state == "held" else RUNNING


_POLL = 0.1  # seconds between checks


def quote(text: str) -> str:
    """Return a text as a value in a query of Temporal's search."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


async def read_last_hold(execution: WorkflowExecution) -> Mapping[str, Any] | None:
    """Return the latest hold in a journey's memo, or None if there is none or it cannot be read."""
    try:
        return (await execution.memo()).get(LAST_HELD)
    except Exception:  # of any codec, for example of an erased contact. One journey must not hide the others
        return None


def command(namespace: str, names: Sequence[str] = tuple(key.name for key in ALL)) -> str:
    """Return the command that registers the attributes."""
    listed = "".join(f" --name {name} --type Keyword" for name in names)
    return f"temporal operator search-attribute create --namespace {namespace}{listed}"


async def ensure(client: Client, *, patience: float = 30.0) -> None:
    """Register missing attributes in the client's namespace, and wait until they are usable.

    Call it before a worker starts: a journey that sets an unknown attribute fails its workflow task repeatedly.
    Processes may call it concurrently.

    Raise AttributesMissing, with the command to run, if this process may not register them, one has another type, or
    the server took longer than `patience` seconds. A cluster's visibility store takes some to learn of an attribute.
    """
    # Imported here, since workflow code needs the names only.
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
    """Return the names of missing attributes, or None if the server does not list them."""
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
        # One for each call: concurrent processes then register the remaining ones.
        request = AddSearchAttributesRequest(
            namespace=client.namespace, search_attributes={name: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD}
        )
        try:
            await client.operator_service.add_search_attributes(request)
        except RPCError as error:
            if error.status is not RPCStatusCode.ALREADY_EXISTS:
                raise


async def are_usable(client: Client) -> bool:
    """Return True if queries can use all attributes. The query matches nothing, and is cheap."""
    from temporalio.service import RPCError, RPCStatusCode

    try:
        await client.count_workflows(" AND ".join(f"{key.name} = ''" for key in ALL))
    except RPCError as error:
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            return False
        # A server without queries (the time-skipping test server), or an account without permission: the
        # registration must be trusted.
        if not _denied(error):
            raise
    return True


def _denied(error: RPCError) -> bool:
    from temporalio.service import RPCStatusCode

    return error.status in {RPCStatusCode.UNIMPLEMENTED, RPCStatusCode.PERMISSION_DENIED}
