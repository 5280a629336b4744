"""A connection that reads the head of a response before its body, so that a broken body cannot take the status away.

The client library gives each piece that arrives to its parser as a whole, and a fault in it takes everything with it
that was in the same piece: a ``200`` whose ``Content-Length`` is too short, a ``204`` with a body, a chunk without a
size would be no answer at all, and what was delivered would be sent again for days. So the parser is given the head
first, and then what follows: by that time the status is safe.
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
"""Interim responses (1xx) before the final one; more of them are not an answer but a nuisance."""

# An empty line after one that is not empty; RFC 9112 §2.2 lets a reader take a lone line feed for the end of a line.
_END: Final = re.compile(rb"[^\r\n]\r?\n\r?\n")
_LONGEST_END: Final = 5
_OK: Final = 200
_SWITCHING: Final = 101


class Connector(aiohttp.TCPConnector):
    """The library's connector, whose connections are `HeadFirst`. Takes the same arguments."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]
        factory: functools.partial[ResponseHandler] = functools.partial(HeadFirst, loop=self._loop)
        self._factory = factory

    async def connect(self, *given: Any, **named: Any) -> Connection:
        """Called by the library for each request, which leaves by the connection."""
        connection = await super().connect(*given, **named)
        reached(Phase.SENDING)
        return connection

    async def _create_connection(self, *given: Any, **named: Any) -> ResponseHandler:
        reached(Phase.RESOLVING)
        return await super()._create_connection(*given, **named)


class HeadFirst(ResponseHandler):
    """One connection. Interim responses are heads like others: only with the final one there is a status."""

    _awaited = False
    """True if the head of the final response is still to come."""
    _interim = 0
    """Interim responses before it, so far."""
    _before = b""
    """The last bytes of what came before, in which the end of a head may have begun."""

    def set_response_params(self, **params: Any) -> None:
        """Called by the library once for each request."""
        self._awaited, self._interim, self._before = True, 0, b""
        super().set_response_params(**params)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Called by the library with each response whose head is read."""
        if data[0].code >= _OK or data[0].code == _SWITCHING:
            self._awaited = False
        else:
            self._interim += 1
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Called by the event loop with what arrived."""
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
        """True if nothing is being waited for: no request has left, or its response is here to its end."""
        return not self._awaited and (self._payload is None or self._payload.is_eof())

    def _hang_up(self) -> None:
        """End a connection that said something nobody asked for.

        It is not an answer to the next request, which the library would take it for (RFC 9112 §9.2 forbids that): what
        a receiver refuses would count as delivered.
        """
        self.force_close()
        if self.transport is not None:
            self.transport.close()

    def _parse(self, data: bytes) -> bool:
        """Return some of what arrived to the library; whether more may follow."""
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
