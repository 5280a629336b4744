"""One local server for all tests of this folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client

from runtime import search_attributes
from runtime.connection import connect
from runtime.errors import NotInstalled
from runtime.local.devserver import DevServer
from runtime.store import Store


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(temporal_server: None, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DevServer]:
    del temporal_server  # a mark
    try:
        async with DevServer(tmp_path_factory.mktemp("state")) as running:
            yield running
    except NotInstalled as missing:
        pytest.skip(str(missing))


@pytest.fixture
async def client(server: DevServer) -> Client:
    found = await connect(server.address, interceptors=[])
    await search_attributes.ensure(found)
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "new" / "folder"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        yield opened
