"""The metrics page for Prometheus: our metrics and those of Temporal's SDK."""

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

from runtime.process import HOST
from runtime.process.http_server import HttpServer

FORMAT: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format. It has no exemplars, which are exported by OTLP only."""
MOST_SERIES: Final = 20_000
"""Maximum number of series of a metric: more than the bounded names and their labels can produce."""

_FRESH: Final = 1.0  # seconds for which a page is cached, so that frequent scrapes cost a worker little time
_PATIENCE: Final = 5.0
_REQUESTS: Final = 8
_DRAIN: Final = 1

logger = logging.getLogger(__name__)


class Exposition:
    """The metrics since its creation."""

    def __init__(self, port: int, host: str = HOST) -> None:
        self._port, self._host = port, host
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.reader = PrometheusMetricReader(
            disable_target_info=True,  # it contains a random id of each process
            scope_info_enabled=False,
            registry=self._registry,
            cardinality_limits={Counter: MOST_SERIES, Histogram: MOST_SERIES},
        )
        self._turn = threading.Lock()
        self._failed = False
        self._page, self._made = b"", -math.inf

    @asynccontextmanager
    async def served(self, native: int | None) -> AsyncGenerator[HttpServer]:
        """Serve ``/metrics``."""
        making = asyncio.Lock()

        async def page(_request: Request) -> Response:
            async with making:  # threads are few, and also resolve host names
                if time.monotonic() >= self._made + _FRESH:
                    # In a thread: with a thousand destinations it would block journeys for too long.
                    self._page = await asyncio.to_thread(self.text, native)
                    self._made = time.monotonic()
            return Response(self._page, media_type=FORMAT)

        async with HttpServer(self._port, self._host, purpose="the metrics") as server:
            server.start(Starlette(routes=[Route("/metrics", page)]), requests=_REQUESTS, drain=_DRAIN)
            yield server

    def text(self, native: int | None) -> bytes:
        with self._turn:  # the reader is not thread-safe
            ours = generate_latest(self._registry)
        return ours + (self._of_the_sdk(native) if native else b"")

    def _of_the_sdk(self, port: int) -> bytes:
        """Return the SDK's page, or b"" if it cannot be read, which is logged once."""
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
