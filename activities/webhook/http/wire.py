"""A connection that parses the head of a response before its body, so that a broken body cannot lose the status.

The client library passes each piece to its parser as a whole, and a fault loses everything in that piece. A ``200``
with a wrong ``Content-Length``, a ``204`` with a body, or a chunk without a size would be no answer, and a delivered
message would be repeated for days. The parser therefore gets the head first.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader

from activities.webhook.http.exchange import Phase, reached

MAX_INTERIM: Final = 32
"""Maximum number of interim responses (1xx) before the final one."""

# An empty line after one that is not empty; RFC 9112 §2.2 lets a reader take a lone line feed for the end of a line.
_END: Final = re.compile(rb"[^\r\n]\r?\n\r?\n")
_LONGEST_END: Final = 5
_OK: Final = 200
_SWITCHING: Final = 101


class Connector(aiohttp.TCPConnector):
    """The library's connector with `HeadFirst` connections. It takes the same arguments."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]
        factory: functools.partial[ResponseHandler] = functools.partial(HeadFirst, loop=self._loop)
        self._factory = factory

    async def connect(self, *given: Any, **named: Any) -> Connection:
        connection = await super().connect(*given, **named)
        reached(Phase.SENDING)
        return connection

    async def _create_connection(self, *given: Any, **named: Any) -> ResponseHandler:
        reached(Phase.RESOLVING)
        return await super()._create_connection(*given, **named)


class HeadFirst(ResponseHandler):
    """One connection. Interim responses have heads, too; only the final one has the status."""

    _awaited = False
    """True while the final response's head is expected."""
    _interim = 0
    """Number of interim responses so far."""
    _before = b""
    """The last bytes of the previous piece, which may hold the beginning of a head's end."""

    def set_response_params(self, **params: Any) -> None:
        """Called by the library once per request."""
        self._awaited, self._interim, self._before = True, 0, b""
        super().set_response_params(**params)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Called by the library with each response whose head is complete."""
        if data[0].code >= _OK or data[0].code == _SWITCHING:
            self._awaited = False
        else:
            self._interim += 1
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop with received bytes."""
        if data and self._idle:
            self._hang_up()
            return
        while self._awaited:
            joined = self._before + data
            end = _END.search(joined)
            if end is None:
                self._before = joined[1 - _LONGEST_END :]
                break
            cut = end.end() - len(self._before)
            head, data, self._before = data[:cut], data[cut:], b""
            if not self._parse(head) or not data:
                return
        self._parse(data)

    @property
    def _idle(self) -> bool:
        """True if no response is expected."""
        return not self._awaited and (self._payload is None or self._payload.is_eof())

    def _hang_up(self) -> None:
        """Close a connection that sent unexpected data.

        It is not an answer to the next request (RFC 9112 §9.2), for which the library would take it: a rejected message
        would count as delivered.
        """
        self.force_close()
        if self.transport is not None:
            self.transport.close()

    def _parse(self, data: bytes) -> bool:
        """Pass some bytes to the library. Return True if more may follow."""
        failure = self._exception
        super().data_received(data)
        if self._interim > MAX_INTERIM and self._awaited and self._exception is failure:
            self.set_exception(HttpProcessingError(message="too many interim responses"))
            if self.transport is not None:
                self.transport.close()
        if self._exception is failure:
            return True
        if self._payload is not None and not self._payload.is_eof():
            # The parser has let go of it: nothing else would tell who reads the body that there will be no more.
            self._payload.set_exception(aiohttp.ClientPayloadError("the body is broken"))
        return False
