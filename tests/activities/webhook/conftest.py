"""What the tests of the sending share: a transport, and an access that reaches receivers on this machine."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from activities.channel import ChannelActivity, WorkerContext, sending_activity
from activities.channel_registry import WEBHOOK
from activities.content import Content
from activities.failures import Failure, failure_of
from activities.interface import Sent
from activities.webhook.destinations.reading import DestinationsFile
from activities.webhook.http.exchange import Request
from activities.webhook.http.transport import Transport
from activities.webhook.limiter import Limiter
from activities.webhook.route import Direct
from runtime.secrets import SecretsSnapshot
from scenario.http.urls import Access
from tests.activities.webhook.faults import Receiver, receiver
from tests.factories import delivery
from tests.fakes import Clock, Marks, Rows, Shelf, worker_context

ID: Final = "msg_00112233445566778899aabbccddeeff"
TRIPLING: Final = RetryPolicy(initial_interval=timedelta(seconds=5), backoff_coefficient=3.0)


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    async with Transport(connect_timeout=30) as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def post() -> Callable[..., Request]:
    def make(there: Receiver, path: str = "/hook", /, **changes: Any) -> Request:
        request = Request(
            method="POST",
            url=there.url(path),
            headers={"content-type": "application/json"},
            body=b'{"a": 1}',
            timeout=60.0,
            access=Access(allow_private=True, allow_http=True, ports=(there.port,)),
        )
        return replace(request, **changes)

    return make


Sending = ChannelActivity[None]


@dataclass
class Desk:
    transport: Transport
    file: Path
    secrets: dict[str, str] = field(default_factory=dict[str, str])
    unreadable: dict[str, str] = field(default_factory=dict[str, str])
    rows: Rows = field(default_factory=Rows)
    marks: Marks = field(default_factory=Marks)
    gate: Limiter = field(default_factory=Limiter)
    policy: RetryPolicy = field(default_factory=lambda: TRIPLING)
    routes: Any = None

    def read(self) -> Mapping[str, str]:
        return SecretsSnapshot(self.secrets, self.unreadable)

    def know(self, **entries: str) -> None:
        lines = "".join(f"  {name}: {{{keys}}}\n" for name, keys in entries.items())
        self.file.write_text(f"destinations:\n{lines}", "utf-8")
        self.routes = Direct(DestinationsFile(self.file, every=0))

    def local(self, there: Receiver, more: str = "", path: str = "", ports: tuple[int, ...] = ()) -> str:
        return f'url: "{there.url(path)}", allow_private: true, allow_http: true, ports: {[there.port, *ports]}{more}'

    def context(self, step: Mapping[str, Any]) -> WorkerContext:
        around = {"transport": self.transport, "secrets": self.read, "limiter": self.gate}
        content = Content(Shelf({"webhook": "told", **step}))
        return worker_context(content, self.rows, routes=self.routes or Direct(), **around)

    async def send(
        self, step: Mapping[str, Any] | Sending, *, attempt: int = 1, age: timedelta = timedelta(0), **changes: Any
    ) -> Sent:
        environment = self.marks.environment()
        environment.info = replace(
            environment.info,
            attempt=attempt,
            workflow_id="post-purchase/3028687",
            started_time=datetime.now(UTC),
            scheduled_time=datetime.now(UTC) - age,
            schedule_to_close_timeout=timedelta(days=3),
            retry_policy=self.policy,
            heartbeat_details=list(self.marks[-1]) if self.marks else [],
        )
        webhooks = step if isinstance(step, ChannelActivity) else Sending(WEBHOOK, self.context(step))
        data = {"order": {"external_id": "CGX 94"}, "contact": {"email": "zoe@example.com"}}
        given: dict[str, Any] = {"id": ID, "data": data, "timeout": 60.0, **changes}
        return await environment.run(sending_activity(webhooks), delivery(**given))

    async def fail(self, step: Mapping[str, Any] | Sending, **details: Any) -> tuple[Failure, ApplicationError]:
        with pytest.raises(ApplicationError) as caught:
            await self.send(step, **details)
        failure = failure_of(caught.value)
        assert failure is not None
        return failure, caught.value


@pytest.fixture
async def there() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


@pytest.fixture
def desk(transport: Transport, tmp_path: Path) -> Desk:
    return Desk(transport, tmp_path / "destinations.yaml")
