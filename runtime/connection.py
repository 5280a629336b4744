"""The connection to Temporal, configured as Temporal's own tools are."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    DescribeTaskQueueRequest,
    DescribeTaskQueueResponse,
)
from temporalio.client import Client, Interceptor
from temporalio.envconfig import ClientConfig, ClientConnectConfig
from temporalio.runtime import Runtime
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode

from runtime.data_converter import CONVERTER
from runtime.errors import ConnectionFailed, SettingsError
from runtime.telemetry.tracing import JourneyTracing

logger = logging.getLogger(__name__)

ADDRESS: Final = "localhost:7233"  # default address of the server, as in all of Temporal's tools
_ATTEMPT = 10.0  # seconds, timeout of an attempt
_PAUSES = (0.2, 0.5, 1.0, 2.0)  # seconds after the first attempts; the last one repeats
_NOTICE = 5.0  # seconds between two log lines

# Words of the SDK's error text for permanent errors. The text itself is not passed on.
_HOPELESS = {
    "invalidcontenttype": "answers without TLS: unset TEMPORAL_TLS and TEMPORAL_API_KEY, or correct TEMPORAL_ADDRESS",
    "invalid peer certificate": "has a certificate that is not trusted: set TEMPORAL_TLS_SERVER_CA_CERT_PATH and "
    "TEMPORAL_TLS_SERVER_NAME as its operator tells you",
    "certificaterequired": "wants a client certificate: set TEMPORAL_TLS_CLIENT_CERT_PATH and "
    "TEMPORAL_TLS_CLIENT_KEY_PATH",
    "unauthenticated": "does not accept these credentials: check TEMPORAL_API_KEY or the client certificate",
    "permissiondenied": "does not accept these credentials: check TEMPORAL_API_KEY or the client certificate",
}


async def connect(
    address: str | None = None,
    *,
    namespace: str | None = None,
    role: str = "scenario",
    patience: float = 30.0,
    interceptors: Sequence[Interceptor] | None = None,
    runtime: Runtime | None = None,
) -> Client:
    """Connect to Temporal, waiting for a server that is not up yet, or raise ConnectionFailed.

    Without an address, TEMPORAL_* variables and the profiles of ``temporal.toml`` configure the connection, including
    TLS and API keys, as for the `temporal` command.

    Args:
        address: ``host:port`` of a local server without TLS. No configuration is read then.
        role: Start of the client's identity in Temporal's UI. Workers have none: every event of their tasks repeats it.
        patience: Seconds to wait for an unreachable server; 0 tries once.
    """
    config = _configured() if address is None else ClientConnectConfig(target_host=address)
    target = config.get("target_host", ADDRESS)
    if "://" in target or not target:
        raise SettingsError("TEMPORAL_ADDRESS must be host:port, without a scheme")
    space = namespace or config.get("namespace", "default")
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    noticed = float("-inf")
    pauses = itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1]))
    while True:
        left = max(0.0, end - loop.time())
        try:
            client = await Client.connect(
                target,
                namespace=space,
                api_key=config.get("api_key"),
                tls=config.get("tls"),
                rpc_metadata=config.get("rpc_metadata", {}),
                # Without TLS the server is local: compression would only cost CPU time.
                grpc_compression=GrpcCompression.GZIP if config.get("tls") else GrpcCompression.NONE,
                data_converter=CONVERTER,
                interceptors=[JourneyTracing()] if interceptors is None else interceptors,
                identity=f"{role} {os.getpid()}@{socket.gethostname()}".lstrip(),
                connect_timeout=timedelta(seconds=min(_ATTEMPT, left + 1)),
                runtime=runtime,
            )
            await _describe(client)
        except ValueError:
            raise SettingsError("TEMPORAL_ADDRESS must be host:port, such as localhost:7233") from None
        except (RuntimeError, RPCError) as error:
            problem, passing = _problem(error, target, space)
            left = end - loop.time()
            if left <= 0 or not passing:
                raise ConnectionFailed(problem) from error
        else:
            return client
        if loop.time() - noticed >= _NOTICE:
            noticed = loop.time()
            logger.warning("%s; trying for %.0f s more", problem, left)
        await asyncio.sleep(min(next(pauses), left))


def _configured() -> ClientConnectConfig:
    try:
        return ClientConfig.load_client_connect_config()
    except FileNotFoundError:
        raise SettingsError(
            "a file that Temporal's configuration names does not exist: check TEMPORAL_TLS_*_PATH and the profile"
        ) from None
    except (OSError, RuntimeError):
        # The SDK's text may quote a line of the file, including an API key.
        raise SettingsError(
            "Temporal's configuration cannot be read: check TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE and the file's "
            "permissions, or try `temporal config list`"
        ) from None


async def describe_namespace(client: Client, patience: timedelta) -> DescribeNamespaceResponse:
    request = DescribeNamespaceRequest(namespace=client.namespace)
    return await client.workflow_service.describe_namespace(request, timeout=patience)


async def describe_queue(
    client: Client,
    queue: str,
    patience: timedelta,
    *,
    workflows: bool = False,
    stats: bool = False,
    config: bool = False,
) -> DescribeTaskQueueResponse:
    """Return the pollers of a queue of activities or of `workflows`; if asked, also its statistics or configuration."""
    kind = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW if workflows else TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=kind,
        report_stats=stats,
        report_config=config,
    )
    return await client.workflow_service.describe_task_queue(request, timeout=patience)


async def _describe(client: Client) -> None:
    """Check the namespace, as the SDK's worker does when it starts, but with a readable error."""
    try:
        await describe_namespace(client, timedelta(seconds=_ATTEMPT))
    except RPCError as error:
        if error.status is not RPCStatusCode.UNIMPLEMENTED:
            raise


def _problem(error: RuntimeError | RPCError, target: str, namespace: str) -> tuple[str, bool]:
    """Return the error as a sentence, and True if it may be transient."""
    if isinstance(error, RPCError):
        if error.status is RPCStatusCode.NOT_FOUND:
            # A new server creates its namespaces after it starts to answer.
            return (
                f"the Temporal server at {target} has no namespace {namespace}: set TEMPORAL_NAMESPACE, or create it "
                f"with `temporal operator namespace create --namespace {namespace}`",
                True,
            )
        text = error.status.name.replace("_", "")
    else:
        text = str(error)
    for word, advice in _HOPELESS.items():
        if word in text.lower():
            return f"the Temporal server at {target} {advice}", False
    return (
        f"no Temporal server at {target}: start one with `scenario dev`, or set TEMPORAL_ADDRESS "
        "(and TEMPORAL_TLS=true if it requires TLS)",
        True,
    )
