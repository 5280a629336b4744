"""A client is configured as Temporal's own tools are, waits for a server, and says what to do without one."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from temporalio.client import Client
from temporalio.service import GrpcCompression

from runtime.connection import connect
from runtime.errors import ConnectionFailed, SettingsError
from runtime.local.devserver import DevServer
from runtime.process import HOST, free_port
from runtime.telemetry.tracing import JourneyTracing

KEY = "api-key-value"
Configure = Callable[..., None]


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Sets variables; there is nothing of this machine's own configuration."""

    def configure(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    configure(TEMPORAL_CONFIG_FILE="/nowhere/temporal.toml")
    return configure


async def test_it_is_configured_by_temporals_own_variables(server: DevServer, environ: Configure):
    environ(TEMPORAL_ADDRESS=server.address, TEMPORAL_NAMESPACE="default")
    client = await connect(role="gateway")
    assert client.service_client.config.target_host == server.address
    assert client.namespace == "default"
    assert client.identity.startswith("gateway ")
    assert any(isinstance(one, JourneyTracing) for one in client.config()["interceptors"])


async def test_it_is_configured_by_a_profile(server: DevServer, tmp_path: Path, environ: Configure):
    file = tmp_path / "temporal.toml"
    file.write_text(f'[profile.staging]\naddress = "{server.address}"\nnamespace = "default"\n')
    environ(TEMPORAL_CONFIG_FILE=str(file), TEMPORAL_PROFILE="staging")
    client = await connect()
    assert client.service_client.config.target_host == server.address


@pytest.mark.parametrize(
    ("variables", "compression"),
    [
        ({}, GrpcCompression.NONE),
        ({"TEMPORAL_TLS": "false"}, GrpcCompression.NONE),
        ({"TEMPORAL_TLS": "true"}, GrpcCompression.GZIP),
        ({"TEMPORAL_API_KEY": KEY}, GrpcCompression.GZIP),
    ],
)
async def test_calls_are_compressed_only_within_tls(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], compression: GrpcCompression, environ: Configure
):
    asked: list[GrpcCompression] = []

    async def refuse(*_: Any, grpc_compression: GrpcCompression, **__: Any) -> NoReturn:
        asked.append(grpc_compression)
        raise RuntimeError

    monkeypatch.setattr(Client, "connect", refuse)
    environ(**variables)
    with pytest.raises(ConnectionFailed):
        await connect(patience=0)
    assert asked == [compression]


async def test_an_address_leaves_the_configuration_alone(server: DevServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TEMPORAL_PROFILE", "not-there")
    monkeypatch.setenv("TEMPORAL_TLS", "true")
    assert (await connect(server.address)).namespace == "default"


async def test_without_a_server_it_says_so_once_and_gives_up(caplog: pytest.LogCaptureFixture):
    port = free_port()
    with caplog.at_level(logging.WARNING, "runtime.connection"), pytest.raises(ConnectionFailed) as caught:
        await connect(f"{HOST}:{port}", patience=0.5)
    sentence = (
        f"no Temporal server at {HOST}:{port}: start one with `scenario dev`, or set TEMPORAL_ADDRESS "
        "(and TEMPORAL_TLS=true if it requires TLS)"
    )
    assert str(caught.value) == sentence
    assert [record.getMessage() for record in caplog.records] == [f"{sentence}; trying for 0 s more"]


async def test_it_waits_for_a_server_that_starts_later(tmp_path: Path):
    port = free_port()
    connecting = asyncio.create_task(connect(f"{HOST}:{port}"))
    await asyncio.sleep(0.1)
    assert not connecting.done()
    async with DevServer(tmp_path, port=port):
        assert (await connecting).namespace == "default"


async def test_a_namespace_that_is_not_there_is_named(server: DevServer):
    with pytest.raises(ConnectionFailed) as caught:
        await connect(server.address, namespace="marketing", patience=0)
    assert str(caught.value) == (
        f"the Temporal server at {server.address} has no namespace marketing: set TEMPORAL_NAMESPACE, or create it "
        "with `temporal operator namespace create --namespace marketing`"
    )


async def test_a_server_without_tls_is_told_at_once(server: DevServer, environ: Configure):
    environ(TEMPORAL_ADDRESS=server.address, TEMPORAL_API_KEY=KEY)
    with pytest.raises(
        ConnectionFailed, match="answers without TLS: unset TEMPORAL_TLS and TEMPORAL_API_KEY"
    ) as caught:
        await connect(patience=30)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"TEMPORAL_PROFILE": "not-there"}, "Temporal's configuration cannot be read: check TEMPORAL_CONFIG_FILE"),
        (
            {"TEMPORAL_TLS_CLIENT_CERT_PATH": "/nowhere/cert.pem"},
            "a file that Temporal's configuration names does not exist",
        ),
        ({"TEMPORAL_ADDRESS": "https://temporal:7233"}, "TEMPORAL_ADDRESS must be host:port, without a scheme"),
        ({"TEMPORAL_ADDRESS": "temporal:99999"}, "TEMPORAL_ADDRESS must be host:port, such as localhost:7233"),
    ],
)
async def test_a_configuration_that_cannot_be_used_is_named(
    variables: dict[str, str], sentence: str, environ: Configure
):
    environ(**variables)
    with pytest.raises(SettingsError) as caught:
        await connect(patience=0)
    assert str(caught.value).startswith(sentence)


async def test_a_broken_file_is_not_quoted(tmp_path: Path, environ: Configure):
    file = tmp_path / "temporal.toml"
    file.write_text(f'[profile.default]\napi_key = "{KEY}\n')
    environ(TEMPORAL_CONFIG_FILE=str(file))
    with pytest.raises(SettingsError) as caught:
        await connect(patience=0)
    assert KEY not in f"{caught.value} {caught.value.__cause__}"
