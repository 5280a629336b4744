"""What is found of a namespace: whether it can be used, and when its search attributes are verified."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceResponse
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from runtime.errors import AttributesMissing, ConnectionFailed
from runtime.process.namespace import AWAY, VERIFIED, Namespace
from tests.fakes import Clock


class Temporal:
    """A server with one namespace."""

    namespace = "scenarios"

    def __init__(self) -> None:
        self.says: RPCStatusCode | None = None
        self.id = "a"
        self.has_attributes = True
        self.may_register = True
        self.verified = 0
        self.workflow_service = self

    async def describe_namespace(self, *_: object, **__: object) -> DescribeNamespaceResponse:
        if self.says is not None:
            raise RPCError("who knows what is in it", self.says, b"")
        described = DescribeNamespaceResponse()
        described.namespace_info.id = self.id
        return described

    async def count_workflows(self, *_: object, **__: object) -> None:
        self.verified += 1
        if not self.has_attributes:
            raise RPCError("no such attribute", RPCStatusCode.INVALID_ARGUMENT, b"")


@pytest.fixture
def temporal(monkeypatch: pytest.MonkeyPatch) -> Temporal:
    server = Temporal()

    async def ensure(client: object, *, patience: float) -> None:
        del client, patience
        if not server.may_register:
            raise AttributesMissing("have them registered")
        server.has_attributes = True

    monkeypatch.setattr("runtime.search_attributes.ensure", ensure)
    return server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def namespace(temporal: Temporal, clock: Clock) -> Namespace:
    return Namespace(cast("Client", temporal), clock)


async def trouble(namespace: Namespace) -> str | None:
    try:
        await namespace.check()
    except (ConnectionFailed, AttributesMissing) as error:
        return str(error)
    return None


async def test_attributes_are_verified_at_first_and_every_minute(
    namespace: Namespace, temporal: Temporal, clock: Clock
) -> None:
    seen: list[int] = []
    for clock.now in (0.0, 5.0, VERIFIED - 1, VERIFIED, VERIFIED + 5):
        assert await trouble(namespace) is None
        seen.append(temporal.verified)
    assert seen == [1, 1, 1, 2, 2]


@pytest.mark.parametrize("what", ["a gap", "another namespace", "a suspicion"])
async def test_they_are_verified_after(what: str, namespace: Namespace, temporal: Temporal) -> None:
    await namespace.check()
    match what:
        case "a gap":
            temporal.says = RPCStatusCode.UNAVAILABLE
            await namespace.check()
            temporal.says = None
        case "another namespace":
            temporal.id = "b"
        case _:
            namespace.suspect()
    assert await trouble(namespace) is None
    assert temporal.verified == 2


async def test_missing_attributes_are_registered_again_and_that_is_logged(
    namespace: Namespace, temporal: Temporal, caplog: pytest.LogCaptureFixture
) -> None:
    temporal.has_attributes = False
    assert await trouble(namespace) is None
    assert temporal.has_attributes
    assert [record.getMessage() for record in caplog.records] == [
        "The namespace scenarios lacked search attributes: they have been registered again."
    ]


async def test_without_the_right_to_register_them_it_is_trouble_until_they_are_back(
    namespace: Namespace, temporal: Temporal
) -> None:
    temporal.has_attributes = temporal.may_register = False
    assert [await trouble(namespace) for _ in range(2)] == ["have them registered"] * 2
    temporal.has_attributes = True
    assert await trouble(namespace) is None


async def test_a_namespace_that_was_replaced_is_named(
    namespace: Namespace, temporal: Temporal, caplog: pytest.LogCaptureFixture
) -> None:
    await namespace.check()
    temporal.id = "b"
    for _ in range(2):
        await namespace.check()
    assert [(record.levelno, "scenario store reconcile" in record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, True)
    ]


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (
            RPCStatusCode.NOT_FOUND,
            "The Temporal server has no namespace scenarios any more: create it again, or stop this process.",
        ),
        (
            RPCStatusCode.PERMISSION_DENIED,
            "The Temporal server does not let this process into the namespace scenarios any more: check "
            "TEMPORAL_API_KEY or the client certificate.",
        ),
        (RPCStatusCode.RESOURCE_EXHAUSTED, None),
        (RPCStatusCode.UNAVAILABLE, None),
    ],
)
async def test_what_the_server_says_is_believed_at_once(
    namespace: Namespace, temporal: Temporal, status: RPCStatusCode, sentence: str | None
) -> None:
    await namespace.check()
    temporal.says = status
    assert await trouble(namespace) == sentence
    temporal.says = None
    assert await trouble(namespace) is None
    # The server was there all the time, and only had too much to do.
    assert temporal.verified == (1 if status is RPCStatusCode.RESOURCE_EXHAUSTED else 2)


async def test_a_server_may_be_away_for_as_long_as_its_restart_takes(
    namespace: Namespace, temporal: Temporal, clock: Clock
) -> None:
    await namespace.check()
    temporal.says = RPCStatusCode.UNAVAILABLE
    said: list[Any] = []
    for clock.now in (1.0, AWAY - 1, AWAY, AWAY + 60):
        said.append(await trouble(namespace))
    stopped = "The Temporal server of the namespace scenarios does not answer (UNAVAILABLE): check that it is running."
    assert said == [None, None, stopped, stopped]
    temporal.says = RPCStatusCode.RESOURCE_EXHAUSTED  # it is there
    assert await trouble(namespace) is None
    temporal.says = RPCStatusCode.UNAVAILABLE
    assert await trouble(namespace) is None


async def test_a_process_that_may_poll_and_not_ask_is_well(
    namespace: Namespace, temporal: Temporal, clock: Clock
) -> None:
    temporal.says = RPCStatusCode.PERMISSION_DENIED
    clock.now = AWAY * 2
    assert [await trouble(namespace) for _ in range(3)] == [None] * 3
