"""The worker process: what it makes of its settings, when it is ready, and how it ends."""

from __future__ import annotations

import asyncio
import base64
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NoReturn
from unittest.mock import AsyncMock, Mock

import pytest
from pydantic import SecretStr

import worker
from activities.channel_registry import QUEUES
from activities.dependencies import warn_of_short
from activities.email.smtp import CONNECTIONS
from activities.sms.configured import LocalSms
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.route import Direct, Diverted
from activities.webhook.server_rates import pacing
from runtime.errors import ConnectionFailed, LocalError, SettingsError, StoreMissing, WorkerFailed
from runtime.process.health import health_pages, watching
from runtime.process.shutdown import Deadline
from runtime.secrets import Secrets
from runtime.settings import Settings
from runtime.store import AttemptWriter, Store, StoreUnavailable
from runtime.telemetry import metrics
from runtime.telemetry.exposition import Exposition
from runtime.telemetry.telemetry import Telemetry
from tests.claims import OwnNamespace, own_journal
from tests.factories import NOW, present, stored_campaign
from tests.fakes import Clock
from tests.measured import now
from tests.runtime.hand import Hand
from tests.stage import store
from worker import DRAIN, ENDING, drain_of, main, serve, served, services, workers

__all__ = ["store"]
CLIENT: Any = None
Made = dict[str, dict[str, Any]]
Ready = Start = Callable[..., Any]
TEXT = "default: {rate: 50/s}\ndestinations: {wax: {url: https://wax.example, rate: 10/s}}\n"


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "destinations.yaml"
    file.write_text(TEXT)
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    async with Store.open(url):
        return Settings(store=SecretStr(url), destinations=file)


async def test_it_sends_to_the_destinations_of_a_good_file(settings: Settings):
    async with services(settings) as opened:
        assert isinstance(opened.routes, Direct)
        assert (opened.destinations.book.names, opened.routes.named("wax").url) == (("wax",), "https://wax.example")
    present(settings.destinations).write_text("destinations:\n  wax: {url: https://wax.example, rate: 10}\n")
    with pytest.raises(SettingsError) as caught:
        async with services(settings):
            pass
    said = "a rate is a number of deliveries and a unit: write 10/s, 600/m or 100/h"
    assert str(caught.value) == f"{settings.destinations}:2: {said}"
    async with services(settings, routes=Diverted("http://127.0.0.1:4000")) as opened:  # a trial run
        assert opened.destinations.book.names == ()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    found: Made = {}

    def make(_client: Any, *, task_queue: str, **options: Any) -> None:
        found[task_queue] = options

    monkeypatch.setattr("worker.Worker", make)
    monkeypatch.setattr("worker.ActivityWorker", make)
    monkeypatch.setattr("worker.completes_polls", AsyncMock(return_value=True))
    return found


@pytest.mark.parametrize(
    ("timeouts", "seconds"), [([], 20), ([15.0, None], 20), ([16.0, None], 21), ([15.0, 300.0], 305)]
)
async def test_the_webhooks_under_way_have_the_longest_time_out_of_a_destination_to_end(
    settings: Settings, made: Made, timeouts: list[float | None], seconds: int
):
    entries = [f"  d{n}: {{url: https://a.example{f', timeout: {t:g}s' if t else ''}}}" for n, t in enumerate(timeouts)]
    text = "\n".join(["destinations:", *entries]) if entries else "destinations: {}"
    present(settings.destinations).write_text(text)
    async with services(settings) as opened:
        await workers(CLIENT, opened)
        assert drain_of(opened.destinations.book) == timedelta(seconds=seconds)
    lengths = {name: timedelta(seconds=seconds if name == "webhooks" else 20) for name in QUEUES}
    given = {name: options.get("grace") or options["graceful_shutdown_timeout"] for name, options in made.items()}
    assert given == lengths | {f"{name}-campaigns": lengths[name] for name in QUEUES[1:]}


@pytest.mark.parametrize(
    ("channels", "at_once"),
    [
        ({}, {"webhooks": 200, "email": 200, "sms": 200}),
        (
            {"smtp": SecretStr("smtp://mail.example"), "mail_from": "a@b.example", "sms": SecretStr("local:")},
            {"webhooks": 200, "email": CONNECTIONS, "sms": LocalSms.connections},
        ),
        ({"sms": SecretStr("twilio://AC1:token@?from=SHOP")}, {"webhooks": 200, "email": 200, "sms": 50}),
    ],
)
async def test_a_channel_takes_no_more_messages_than_it_has_connections_for(
    settings: Settings, made: Made, channels: dict[str, Any], at_once: dict[str, int]
):
    async with services(settings.model_copy(update=channels)) as opened:
        await workers(CLIENT, opened)
    given = {name: options.get("concurrent", 0) for name, options in made.items()}
    assert given == at_once | {"journeys": 0} | {f"{name}-campaigns": 8 for name in at_once}


@pytest.mark.parametrize(("passed", "log"), [(0.1, 10.0), (22.0, 3.0), (30.0, 0.0)])
async def test_the_log_has_what_the_drain_leaves_of_the_whole_stop(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, passed: float, log: float
):
    clock, given = Clock(), list[float]()
    deadline = Deadline((DRAIN + ENDING).total_seconds(), clock)

    async def close(_writer: AttemptWriter, within: float) -> None:
        given.append(within)

    monkeypatch.setattr(AttemptWriter, "close", close)
    async with services(settings, deadline=deadline):
        deadline.begin()
        clock.now = passed
    assert given == [log]


def test_secrets_that_are_too_short_are_named(caplog: pytest.LogCaptureFixture, tmp_path: Path):
    given = {"PIN": "8841907", "TOKEN": "t0ken-of-wax-4711", "A": "k", "NONE": ""}
    warn_of_short(Secrets(Settings(), {f"SCENARIO_SECRET_{name}": value for name, value in given.items()}))
    unreadable = Secrets(Settings(secrets_dir=tmp_path), {})
    tmp_path.rmdir()
    warn_of_short(unreadable)  # which is left to deliveries
    sentence = "the secrets A, PIN are shorter than 8 characters, so responses mask them only as whole words"
    assert [(one.levelname, one.message) for one in caplog.records] == [("WARNING", f"{sentence}: use longer ones")]


class Calm:
    """A server that has nothing to say, until it has."""

    name = "default"
    trouble: str | None = None

    def __init__(self, *_: object, **__: object) -> None:
        Calm.trouble = None

    clock_offset: float | None = None

    async def check(self) -> None:
        if self.trouble is not None:
            raise ConnectionFailed(self.trouble)


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> list[Hand]:
    """Workers in the place of the real ones, and no server; their health pages are looked at from inside."""
    made = [Hand("email", slow=True), Hand("sms")]

    for name in ("connect", "Telemetry.runtime", "search_attributes.ensure"):
        monkeypatch.setattr(f"worker.{name}", AsyncMock(return_value=None))
    for name in ("encrypt_client", "tune_garbage_collection"):
        monkeypatch.setattr(f"worker.{name}", Mock())
    monkeypatch.setattr("worker.StoreIdentity", OwnNamespace)
    monkeypatch.setattr("worker.keeping_journal", own_journal)
    monkeypatch.setattr("worker.PollerCheck", Calm)
    monkeypatch.setattr("worker.workers", AsyncMock(return_value=made))
    return made


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    asked: list[Mapping[str, Any]] = []

    def asking(port: int, checks: Mapping[str, Any], **named: Any) -> Any:
        asked[:] = [checks]
        return health_pages(port, checks, **named)

    monkeypatch.setattr("worker.health_pages", asking)
    return lambda what="worker": what in asked[0] and asked[0][what]()


async def until(check: Callable[[], Any], wanted: bool) -> None:
    while check() is not wanted:
        await asyncio.sleep(0.01)


@pytest.fixture
def start(settings: Settings, hands: list[Hand], ready: Callable[..., Any]) -> Callable[..., Any]:
    """Serves until it is asked to stop, and returns once that is ready."""

    async def start(what: str = "worker", queues: Collection[str] = ("email", "sms"), **changed: Any) -> Any:
        hands[0].polls.set()
        serving = asyncio.create_task(serve(settings.model_copy(update=changed), queues, Deadline(1), health_port=0))
        await until(lambda: ready(what) if hands[1].started.is_set() else False, True)
        return serving

    return start


async def stop(serving: asyncio.Task[None]) -> None:
    signal.raise_signal(signal.SIGTERM)
    await serving


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelname == "ERROR"]


async def test_keys_are_measured_while_temporal_is_waited_for(monkeypatch: pytest.MonkeyPatch):
    measured: list[set[object]] = []

    async def connect(**_: Any) -> NoReturn:
        measured.append({setting for setting, _ in now(metrics.KEY)})
        raise ConnectionFailed("no Temporal server")

    monkeypatch.setattr("worker.connect", connect)
    key = SecretStr(base64.b64encode(bytes(32)).decode())
    with pytest.raises(ConnectionFailed):
        await serve(Settings(suppression_key=key), ["email"], Deadline(1))
    assert measured == [{"SCENARIO_SUPPRESSION_KEY"}]


async def test_it_is_ready_once_it_polls_and_ends_where_a_queue_fails_with_the_others_drained(
    settings: Settings, hands: list[Hand], ready: Callable[[], Any], caplog: pytest.LogCaptureFixture
):
    slow, other = hands
    deadline = Deadline(1)
    serving = asyncio.create_task(serve(settings, ["email", "sms"], deadline, health_port=0))
    await other.started.wait()
    assert ready() is False
    slow.polls.set()
    await until(ready, True)
    other.stays = asyncio.Event()
    slow.breaks.set()
    await until(ready, False)
    await other.asked.wait()
    assert not serving.done()
    other.stays.set()
    with pytest.raises(WorkerFailed):
        await serving
    assert errors(caplog) == [
        "the worker of the queue 'email' failed (RuntimeError): see the previous log lines, and restart it"
    ]
    assert deadline.left(3600) <= (DRAIN + ENDING).total_seconds()


async def test_it_is_not_ready_without_its_store_and_says_which(
    settings: Settings, start: Start, ready: Ready, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("worker.watching", partial(watching, every=0.01))
    serving = await start()
    assert ready("store") is True
    file = Path(settings.store.get_secret_value().partition(":///")[2])
    elsewhere = file.with_suffix(".elsewhere")
    await asyncio.to_thread(file.replace, elsewhere)
    await until(lambda: ready("store"), False)
    gone = f"The store {file} is gone, its file was removed in use: put it back, or restart this process."
    assert errors(caplog) == [gone]
    await asyncio.to_thread(elsewhere.replace, file)
    await until(lambda: ready("store"), True)
    await stop(serving)


@pytest.mark.usefixtures("hands")
async def test_it_looks_at_its_store_when_making_workers_keeps_it_busy_no_more(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """A look that waited for that would say that the store does not answer."""
    done: list[str] = []

    def noted(name: str, real: Callable[..., Any], *given: Any, **named: Any) -> Any:
        done.append(name)
        return real(*given, **named)

    for name in ("workers", "watching"):
        monkeypatch.setattr(worker, name, partial(noted, name, getattr(worker, name)))
    serving = asyncio.create_task(serve(settings, ["email", "sms"], Deadline(1)))
    while "watching" not in done:
        await asyncio.sleep(0)
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert done == ["workers", "watching"]


@pytest.mark.usefixtures("hands")
async def test_a_store_that_can_only_be_read_ends_it_before_it_is_ready(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    refuse = AsyncMock(side_effect=StoreUnavailable("its file is read-only"))
    monkeypatch.setattr("runtime.store.sqlite.SQLite.try_writing", refuse)
    with pytest.raises(StoreUnavailable, match="its file is read-only"):
        async with asyncio.timeout(60):
            await serve(settings, ["email", "sms"], Deadline(1))


async def test_it_is_not_ready_while_temporal_has_no_place_for_it_and_goes_on(
    start: Start, ready: Ready, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr("runtime.process.namespace._EVERY", 0.01)
    caplog.set_level("INFO", "runtime.process.health")
    serving = await start("temporal")
    Calm.trouble = "The Temporal server has no namespace default any more."
    await until(lambda: ready("temporal"), False)
    Calm.trouble = None
    await until(lambda: ready("temporal"), True)
    said = [record.message for record in caplog.records if record.name == "runtime.process.health"]
    assert said == [
        "The Temporal server has no namespace default any more.",
        "Temporal's namespace default can be used again.",
    ]
    await stop(serving)


@pytest.mark.usefixtures("hands")
async def test_a_store_that_is_away_at_the_start_is_waited_for_as_the_server_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = SecretStr(f"postgresql://user:s3cr3t@127.0.0.1:{closed.getsockname()[1]}/scenarios")
        settings = settings.model_copy(update={"store": url})
        serving = asyncio.create_task(serve(settings, ["email", "sms"], Deadline(1)))
        while not any("(nothing listens there)" in record.message for record in caplog.records):
            await asyncio.sleep(0.01)
        assert not serving.done()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(asyncio.CancelledError):
            await serving
        monkeypatch.setattr("worker.WAIT", 0.0)
        with pytest.raises(StoreUnavailable):
            await serve(settings, ["email", "sms"], Deadline(1))
    assert "s3cr3t" not in caplog.text


@pytest.mark.parametrize(("queues", "schedules"), [(("email", "sms"), []), (("journeys", "sms"), ["entries=2y"])])
async def test_a_stop_ends_it_in_peace(
    hands: list[Hand], start: Start, monkeypatch: pytest.MonkeyPatch, queues: tuple[str, ...], schedules: list[str]
):
    """Meanwhile, one that serves journeys keeps the schedule that prunes the store."""
    keep = AsyncMock()
    monkeypatch.setattr("worker.keep_schedule", keep)
    await stop(await start(queues=queues, retention="entries=2y"))
    assert all(hand.ended.is_set() for hand in hands)
    assert [call.args[1] for call in keep.call_args_list] == schedules


def test_a_thread_that_waits_for_somebody_keeps_nobody_from_ending(settings: Settings, hands: list[Hand]):
    answers = threading.Event()

    async def run() -> None:
        hands[0].polls.set()
        asyncio.get_running_loop().run_in_executor(None, answers.wait)
        serving = asyncio.create_task(serve(settings, ["email", "sms"], Deadline(1)))
        await hands[1].started.wait()
        await asyncio.sleep(0.1)
        signal.raise_signal(signal.SIGTERM)
        with suppress(asyncio.CancelledError):  # where it was not ready yet
            await serving

    asyncio.run(run())  # or it would wait forever
    answers.set()


@pytest.fixture
def run_main(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run `main` with another `serve`, leaving logging alone. Return what it serves by, and its exit status."""
    asked: dict[str, Any] = {}

    def left(status: int, *_: Any, **_named: Any) -> NoReturn:
        raise SystemExit(status)

    def exposed(port: int, host: str) -> None:
        asked.update(metrics_port=port, metrics_host=host)

    def run(arguments: str, error: Exception | None = None) -> tuple[dict[str, Any], int]:
        serve = AsyncMock(side_effect=error)
        monkeypatch.setattr("worker.serve", serve)
        with pytest.raises(SystemExit) as caught:
            main(arguments.split())
        asked.update(serve.call_args.kwargs if serve.called else {})
        return asked, int(caught.value.code or 0)

    monkeypatch.setattr("worker.exit_process", left)
    monkeypatch.setattr("worker.logs.configure", Mock())
    monkeypatch.setattr("worker.Exposition", exposed)
    return run


@pytest.mark.parametrize(
    ("arguments", "hosts"),
    [
        ("--health-port 8081 --metrics-port 9090", ("127.0.0.1", "127.0.0.1")),
        ("--health-host 0.0.0.0 --metrics-port 9090 --metrics-host ::1", ("0.0.0.0", "::1")),
    ],
)
def test_health_and_metrics_are_for_this_machine_unless_it_is_told_otherwise(
    run_main: Callable[..., Any], arguments: str, hosts: tuple[str, str]
):
    asked, _ = run_main(arguments)
    assert (asked["health_host"], asked["metrics_host"]) == hosts


def test_a_host_is_an_address(run_main: Callable[..., Any], capsys: pytest.CaptureFixture[str]):
    assert run_main("--health-host all")[1] == 2
    said = "'all' is not an IP address: write 127.0.0.1 for this machine, or 0.0.0.0 for all addresses\n"
    assert capsys.readouterr().err.endswith(f"argument --health-host: {said}")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (WorkerFailed("the worker of the queue 'email' failed"), ""),  # it is in the log
        *((kind("why"), "worker: why\n") for kind in (SettingsError, ConnectionFailed, StoreUnavailable)),
    ],
)
def test_a_failure_is_status_1_and_told_once(
    run_main: Callable[..., Any], capsys: pytest.CaptureFixture[str], error: Exception, said: str
):
    assert (run_main("", error)[1], capsys.readouterr().err) == (1, said)


def test_a_queue_that_does_not_exist_is_refused(run_main: Callable[..., Any], capsys: pytest.CaptureFixture[str]):
    assert run_main("--queues journeys,letters")[1] == 2
    assert "there is no queue letters; there are journeys, webhooks, email, sms" in capsys.readouterr().err


@pytest.mark.usefixtures("hands")
async def test_a_store_that_never_was_is_not_made(tmp_path: Path):
    settings = Settings(store=SecretStr(f"sqlite:///{tmp_path / 'nowhere' / 'store.db'}"))
    with pytest.raises(StoreMissing, match="create the store with `scenario store upgrade`"):
        await serve(settings, ["journeys"], Deadline(1))
    assert not (tmp_path / "nowhere").exists()


async def test_they_listen_where_it_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[object, ...]] = []

    def pages(port: int, checks: Mapping[str, Any], *, host: str) -> Any:
        asked.append((port, host))
        return health_pages(0, checks)

    def listen(port: int, host: str, **_named: Any) -> NoReturn:
        asked.append((port, host))
        raise LocalError("enough")

    monkeypatch.setattr("worker.health_pages", pages)
    monkeypatch.setattr("runtime.telemetry.exposition.HttpServer", listen)
    telemetry = Telemetry(None, exposition=Exposition(2, "::1"))
    with pytest.raises(LocalError):
        await serve(settings, ["email"], Deadline(1), health_port=1, health_host="0.0.0.0", telemetry=telemetry)
    assert asked == [(1, "0.0.0.0"), (2, "::1")]


class Keeper:
    """A stand-in for the rate keeper: it notes what it was told of each queue."""

    told: ClassVar[dict[str, tuple[float, Mapping[str, float]]]] = {}

    def __init__(self, client: object, queue: str) -> None:
        self._queue = queue

    async def keep(self, wanted: Callable[[], Awaitable[tuple[float, Mapping[str, float]]]]) -> NoReturn:
        while True:
            self.told[self._queue] = await wanted()
            await asyncio.sleep(0.01)


@pytest.fixture
def keeper(monkeypatch: pytest.MonkeyPatch) -> type[Keeper]:
    Keeper.told.clear()
    monkeypatch.setattr("activities.webhook.server_rates.RateKeeper", Keeper)
    return Keeper


async def test_it_serves_the_queues_of_an_earlier_number_too(settings: Settings, made: Made):
    async with services(settings.model_copy(update={"queue_shards": 3})):
        pass
    async with services(settings.model_copy(update={"queue_shards": 2})) as opened:
        await workers(CLIENT, opened, ["webhooks", "sms"])
        assert opened.queue_shards == 2
    everything = ["webhooks", "webhooks-1", "webhooks-2", "sms", "webhooks-campaigns", "sms-campaigns"]
    assert list(made) == served(["webhooks", "sms"], opened) == everything


async def test_the_server_s_rates_follow_the_file(settings: Settings, keeper: type[Keeper], store: Store):
    file = present(settings.destinations)
    destinations = DestinationsFile(file, every=0)
    async with pacing(CLIENT, destinations, store, ["webhooks", "webhooks-1"]), asyncio.timeout(60):
        for text, told in (
            (TEXT, (50.0, {"wax": 10.0})),
            (TEXT.replace("10/s", "300/m").replace("50/s", "20/s"), (20.0, {"wax": 5.0})),
        ):
            file.write_text(text)
            while keeper.told != dict.fromkeys(("webhooks", "webhooks-1"), told):
                await asyncio.sleep(0.01)


async def test_rates_leave_room_for_a_campaign_by_the_time_of_the_server(
    settings: Settings, keeper: type[Keeper], store: Store
):
    present(settings.destinations).write_text(TEXT)
    destinations, at = DestinationsFile(present(settings.destinations)), datetime.now(UTC) + timedelta(minutes=30)
    times = dict.fromkeys(("loaded_at", "confirmed_at"), NOW)
    await store.add_campaign(stored_campaign(destination="wax", rate=4.0, starts_at=at, **times))
    times_there = iter([at - timedelta(minutes=1)])
    async with (
        pacing(CLIENT, destinations, store, server_time=lambda: next(times_there, at)),
        asyncio.timeout(60),
    ):
        for rate in (10.0, 6.0):
            while keeper.told != {"webhooks": (50.0, {"wax": rate})}:
                await asyncio.sleep(0)


async def test_without_a_file_the_server_s_rates_are_left_alone(keeper: type[Keeper], store: Store):
    async with pacing(CLIENT, DestinationsFile(), store):
        await asyncio.sleep(0.05)
    assert keeper.told == {}
