"""Search attributes are registered where they are missing, by whoever may."""

import asyncio
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runtime import search_attributes
from runtime.connection import connect
from runtime.errors import AttributesMissing, ConnectionFailed
from runtime.local.devserver import DevServer
from runtime.search_attributes import ensure

NAMES = ["ScenarioName", "ContactId", "ScenarioVersion", "StepId", "JourneyState", "Destination", "HeldReason"]


async def a_namespace(server: DevServer, client: Client, name: str) -> Client:
    request = RegisterNamespaceRequest(namespace=name)
    request.workflow_execution_retention_period.FromSeconds(86400)
    await client.workflow_service.register_namespace(request)
    return await connect(server.address, namespace=name, interceptors=[])


async def usable(client: Client) -> list[str]:
    found: list[str] = []
    for name in NAMES:
        try:
            await client.count_workflows(f"{name} = 'x'")
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
        else:
            found.append(name)
    return found


async def test_the_local_server_has_them_from_its_start(client: Client):
    assert await usable(client) == NAMES


async def test_missing_ones_are_registered_by_several_processes_at_the_same_time(server: DevServer, client: Client):
    other = await a_namespace(server, client, "together")
    assert await usable(other) == []
    await asyncio.gather(*(ensure(other) for _ in range(4)))
    assert await usable(other) == NAMES


async def test_one_of_another_type_is_named(server: DevServer, client: Client):
    other = await a_namespace(server, client, "mistyped")
    await other.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace="mistyped", search_attributes={"StepId": IndexedValueType.INDEXED_VALUE_TYPE_INT}
        )
    )
    with pytest.raises(AttributesMissing) as caught:
        await ensure(other)
    assert str(caught.value) == (
        "the search attribute StepId of namespace mistyped is not a Keyword: remove it with `temporal operator "
        "search-attribute remove --namespace mistyped --name StepId`, then register it with `temporal operator "
        "search-attribute create --namespace mistyped --name StepId --type Keyword`"
    )


def answering(status: RPCStatusCode | None) -> AsyncMock:
    return AsyncMock(side_effect=status and RPCError("refused", status, b""))


CREATE = " --type Keyword --name ".join(
    ("temporal operator search-attribute create --namespace cloud --name X", *NAMES)
)
DENIED, UNIMPLEMENTED = RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("answers", "error", "sentence"),
    [
        (
            *((DENIED, DENIED, RPCStatusCode.INVALID_ARGUMENT), AttributesMissing),
            "could not register search attributes in namespace cloud (PERMISSION_DENIED): have them registered with "
            f"`{CREATE.replace('X --type Keyword --name ', '')} --type Keyword`",
        ),
        ((DENIED, DENIED, None), None, ""),
        ((UNIMPLEMENTED, RPCStatusCode.ALREADY_EXISTS, UNIMPLEMENTED), None, ""),
        ((UNIMPLEMENTED, None, RPCStatusCode.INVALID_ARGUMENT), AttributesMissing, "cannot be used after 0.2 s"),
        ((RPCStatusCode.UNAVAILABLE, None, None), ConnectionFailed, "the Temporal server went away"),
    ],
    ids=["it may not register", "it may only query", "it is the time-skipping one", "it never learns", "it went away"],
)
async def test_a_server_answers(answers: Any, error: type[Exception] | None, sentence: str):
    listing, adding, counting = map(answering, answers)
    service = Mock(list_search_attributes=listing, add_search_attributes=adding)
    client = Mock(namespace="cloud", operator_service=service, count_workflows=counting)
    with pytest.raises(error, match=re.escape(sentence)) if error else nullcontext():
        await ensure(client, patience=0.2)


async def test_the_command_that_a_person_is_told_works(server: DevServer, client: Client):
    other = await a_namespace(server, client, "by-hand")
    command = search_attributes.command("by-hand").split()
    program = Path(sys.executable).parent / command[0]
    if not program.exists():
        pytest.skip("the temporal program is not beside this Python")
    arguments = [str(program), *command[1:], "--address", server.address]
    await asyncio.to_thread(subprocess.run, arguments, check=True, capture_output=True, timeout=60)
    assert await usable(other) == NAMES


def test_workflow_code_can_import_the_names_without_a_client():
    code = "import runtime.search_attributes, sys; print('temporalio.client' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert run.stdout == "False\n"
