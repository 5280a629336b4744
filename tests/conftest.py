"""Settings of all tests: their order, processes, time limits and fixtures of the whole run."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import inspect
import os
import shutil
import sys
import uuid
from collections.abc import Generator, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
import pytest_timeout  # pyright: ignore[reportMissingTypeStubs]
import time_machine
from hypothesis import Phase, settings
from hypothesis.internal.conjecture import providers
from pydantic._internal import _docs_extraction

pytest_plugins = ["tests.stage", "tests.scenario_client", "tests.reruns"]

_COMPILED = Path(__file__).resolve().parents[1] / ".pytest_cache" / "compiled"

_HUNG = 330.0
"""Seconds after which a process is ended that does not get to the end of a test, or of itself."""
_ON_TEST_SERVER: Final = 60
"""Seconds after which a test on the time-skipping server has hung: most take less than one."""
_SHUTDOWN: Final = 20.0
"""Seconds after which a worker that does not shut down is cancelled: its server has lost a task, or is gone."""
_stderr = pytest.StashKey[int]()

# Some images set PYTHONDONTWRITEBYTECODE. Then each worker of the tests, each command and each workflow sandbox would
# compile all it imports again, which takes longer than most tests. Compiled modules are kept here, out of the sources.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(_COMPILED)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _module_of(of: Any) -> Any:
    """Return the module of a frame or of a class, by the name that it tells."""
    return sys.modules.get(of.f_globals["__name__"] if inspect.isframe(of) else of.__module__)


# pydantic asks for the module of each frame where it looks for the docstrings of a class's fields. Up to Python 3.12
# that goes through all modules that are loaded, each time: half a second in each process.
_docs_extraction.inspect = SimpleNamespace(**{**vars(inspect), "getmodule": _module_of})  # pyright: ignore

# jsonschema compiles grammars with it, for a second in each process, to check formats that nothing here has.
sys.modules["rfc3987_syntax"] = None  # pyright: ignore[reportArgumentType]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--today", help="Run the tests as if it were this time, ISO 8601 with an offset")


def pytest_xdist_auto_num_workers() -> int:
    """Two processes more than there are cores: some tests wait for servers, and one waits for a minute of chaos.

    (They are handed out by work stealing.)
    """
    return len(os.sched_getaffinity(0)) + 2


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spares what is collected from the garbage collector, which would go through all of it again and again.

    It takes a quarter of the time of collecting, in each process; of the tests it takes less where it comes less often.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spreads the tests of real servers evenly among the others: side by side, the last of them would run alone.

    Each process begins with an equal part of the list, whose last quarter has quick tests only: no long one runs on
    when the other processes have nothing left to take over.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = [item for item in items if "e2e" in item.path.parts]
    quick = [item for item in items if "e2e" not in item.path.parts]
    places: dict[int, float] = {}
    for some, share in ((slow, 0.75), (quick, 1.0)):
        stages: dict[Path, float] = {}
        for index, item in enumerate(some):
            part, within = divmod(processes * index / len(some), 1)
            place = (part + share * within) / processes
            # The pages stand on servers and a browser for the whole module: each process would start them anew.
            places[id(item)] = (
                stages.setdefault(item.path, place) if some is slow and "pages" in item.path.parts else place
            )
    items.sort(key=lambda item: places[id(item)])
    for item in items:
        names = item.fixturenames if isinstance(item, pytest.Function) else ()
        if "temporal_server" in names:
            item.add_marker(pytest.mark.flaky(reruns=1))
        if "environment" in names and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_ON_TEST_SERVER))


@pytest.fixture(scope="session")
def temporal_server() -> None:
    """Mark a test that uses a Temporal server, through the fixture that starts it: if it fails, it runs once more.

    The time-skipping server loses a workflow task now and then: a task that has started neither ends nor times out any
    more, and the server lists no pending task or activity of the workflow.
    """


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Start the time limit of a rerun: the first run's has been cancelled."""
    if getattr(item, "execution_count", 1) > 1:
        given = pytest_timeout._get_item_settings(item)  # pyright: ignore
        item.config.hook.pytest_timeout_cancel_timer(item=item)
        item.config.hook.pytest_timeout_set_timer(item=item, settings=given)


def pytest_configure(config: pytest.Config) -> None:
    """Keeps the way to the real standard error: tests have another. Lets Hypothesis try the same in each run.

    What fails is not made smaller, which may take five minutes: ``--hypothesis-profile=default`` does so.
    """
    config.stash[_stderr] = os.dup(2)
    if today := config.getoption("today"):
        time_machine.travel(datetime.fromisoformat(today)).start()
    settings.register_profile(
        "suite", derandomize=True, database=None, deadline=None, phases=[Phase.explicit, Phase.generate, Phase.target]
    )
    settings.load_profile("suite")
    # It tries constants of our modules, too, of those that are loaded: by the tests before. No setting says otherwise.
    providers._get_local_constants = providers.Constants  # pyright: ignore[reportPrivateUsage, reportPrivateImportUsage]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Ends the process, with its stacks, where a fixture does not end: the run goes on, and says which test it was.

    A test's time-out interrupts it once. What then waits again, or waits in a thread, would wait for ever.
    """
    faulthandler.dump_traceback_later(_HUNG, exit=True, file=item.config.stash[_stderr])
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Ends a process of the tests that does not come to its end by itself, as when a thread goes on."""
    # In a nightly run, it waits for others with tests that take longer.
    if hasattr(session.config, "workerinput") and session.config.option.markexpr == "not nightly":
        faulthandler.dump_traceback_later(_HUNG, exit=True, file=session.config.stash[_stderr])


@pytest.fixture(scope="session", autouse=True)
def _copied_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A new store of a test, in a file, begins as a copy of one that the migrations have made.

    They take a tenth of a second of a test that takes less. Their own tests run them: see `_migrating`.
    """
    if "runtime.store" not in sys.modules:  # no test here opens one
        yield
        return
    from runtime.store import connect
    from runtime.store.database import Database
    from runtime.store.migrations import upgrade
    from runtime.store.sqlite import SQLite

    made = tmp_path_factory.mktemp("made") / "store.db"

    def lacks(file: Path | str) -> bool:
        return not Path(file).exists()

    def copy_to(new: Path) -> None:
        copy = made.with_name(uuid.uuid4().hex)
        shutil.copy(made, copy)
        with contextlib.suppress(OSError):  # another is quicker, or no file can be there
            os.link(copy, new)
        copy.unlink()

    async def copied(database: Database, *, make: bool = True) -> None:
        if isinstance(database, SQLite) and database.name != "in memory" and lacks(database.name):
            if lacks(made):
                first = connect(f"sqlite:///{made}")
                await upgrade(first)
                await first.close()
            copy_to(Path(database.name))
        await upgrade(database, make=make)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.store.upgrade", copied)
        yield


@pytest.fixture(scope="session", autouse=True)
def _patient_workers() -> Iterator[None]:
    """Give workflow code a minute, not two seconds, before the SDK fails its task as deadlocked. Bound shutdowns.

    On a busy machine the thread of a workflow may have to wait that long for a processor. If a test hangs, its loop
    cancels the worker's tasks together with the test, which then waits in `Worker.shutdown` for an event that these
    tasks would have set.
    """
    if "temporalio.worker" not in sys.modules:  # no test here runs one
        yield
        return
    from temporalio.worker import Worker
    from temporalio.worker._workflow import _WorkflowWorker  # pyright: ignore[reportPrivateUsage]

    made, shut_down = _WorkflowWorker.__init__, Worker.shutdown

    def make(self: _WorkflowWorker, **given: Any) -> None:
        made(self, **given)
        self._deadlock_timeout_seconds = 60  # pyright: ignore[reportPrivateUsage]

    async def shut_down_in_time(self: Worker) -> None:
        running: asyncio.Task[None] | None = self._async_context_run_task  # pyright: ignore
        if running is None:
            await shut_down(self)
            return
        shutdown = asyncio.ensure_future(shut_down(self))
        try:
            await asyncio.wait({shutdown, running}, timeout=_SHUTDOWN, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not shutdown.done():
                shutdown.cancel()
                running.cancel()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_WorkflowWorker, "__init__", make)
        patch.setattr(Worker, "shutdown", shut_down_in_time)
        yield


@pytest.fixture(scope="session", autouse=True)
def _patient_clients() -> Iterator[None]:
    """Let tests' HTTP clients wait a minute, not five seconds, for an answer from a busy machine."""
    if "httpx" not in sys.modules:  # no test here has one
        yield
        return
    from httpx._config import DEFAULT_TIMEOUT_CONFIG

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "read", "write", "pool"):
            patch.setattr(DEFAULT_TIMEOUT_CONFIG, name, 60.0)
        yield
