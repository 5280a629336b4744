"""The page of metrics that Prometheus comes for: ours and those of Temporal's SDK, as one."""

from __future__ import annotations

import asyncio
import http.client
import logging
import math
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import Counter, Histogram
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runtime.process.http_server import HttpServer
from runtime.process.ports import HOST

FORMAT: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format, which has no exemplars: these go by OTLP alone."""
MOST_SERIES: Final = 20_000
"""Of one metric: more than the names that are told apart, with all that can be said of each, come to."""

_FRESH: Final = 1.0
"""Seconds for which a page is given to whoever asks: however many scrape, they take a worker no more time."""
_PATIENCE: Final = 5.0
_REQUESTS: Final = 8
_DRAIN: Final = 1

logger = logging.getLogger(__name__)


class Exposition:
    """What there is to see, from when it is made.

    Args:
        port: 0 takes a free one, see `HttpServer.port`.

    Attributes:
        reader: To be given to the provider of meters.
    """

    def __init__(self, port: int, host: str = HOST) -> None:
        self._port, self._host = port, host
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.reader = PrometheusMetricReader(
            disable_target_info=True,  # it has an id of the process, made up anew with each
            scope_info_enabled=False,
            registry=self._registry,
            cardinality_limits={Counter: MOST_SERIES, Histogram: MOST_SERIES},
        )
        self._turn = threading.Lock()
        self._failed = False
        self._page, self._made = b"", -math.inf

    @asynccontextmanager
    async def served(self, native: int | None) -> AsyncGenerator[HttpServer]:
        """Serves ``/metrics``.

        Args:
            native: The port of this machine at which Temporal's SDK serves its own, if it does.

        Raises:
            LocalError: The port cannot be listened on.
        """
        making = asyncio.Lock()

        async def page(_request: Request) -> Response:
            async with making:  # threads are few, and names are looked up in them
                if time.monotonic() >= self._made + _FRESH:
                    # In a thread: with a thousand destinations it takes longer than journeys should stand still.
                    self._page = await asyncio.to_thread(self.text, native)
                    self._made = time.monotonic()
            return Response(self._page, media_type=FORMAT)

        async with HttpServer(self._port, self._host, purpose="the metrics") as server:
            server.start(Starlette(routes=[Route("/metrics", page)]), requests=_REQUESTS, drain=_DRAIN)
            yield server

    def text(self, native: int | None) -> bytes:
        """The whole page. May be asked for by several at once."""
        with self._turn:  # the reader would give one of them what is another's
            ours = generate_latest(self._registry)
        return ours + (self._of_the_sdk(native) if native else b"")

    def _of_the_sdk(self, port: int) -> bytes:
        """The SDK's page; nothing where it cannot be had, which is logged once."""
        connection = http.client.HTTPConnection(HOST, port, timeout=_PATIENCE)
        try:
            connection.request("GET", "/metrics")
            page = connection.getresponse().read()
        except (OSError, http.client.HTTPException) as error:
            if not self._failed:
                logger.warning("the metrics of Temporal's SDK cannot be read (%s)", type(error).__name__)
            self._failed = True
            return b""
        finally:
            connection.close()
        self._failed = False
        return page
