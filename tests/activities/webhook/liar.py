# dnslib has no types: what is unknown of it stays in this module.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
"""A DNS server on the loopback interface that answers by a script, and a look-up that asks it over UDP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from dnslib import AAAA, QTYPE, RCODE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSServer

from activities.webhook.http.dial import LookupFailedError

Answer = Sequence[str] | None
"""The addresses of a name, or None where it does not exist."""


class LyingServer(BaseResolver):
    """Each name has a script: one answer a resolution, the last one forever.

    Attributes:
        script: The answers still to come, by name.
        asked: The names in the order in which they were resolved.
    """

    def __init__(self) -> None:
        self.script: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self._server = DNSServer(self, address="127.0.0.1", port=0)
        self._port: int = self._server.server.server_address[1]

    def __enter__(self) -> Self:
        self._server.start_thread()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
        self._server.server.server_close()

    def forget(self) -> None:
        """As new."""
        self.script.clear()
        self.asked.clear()

    def resolve(self, request: Any, handler: Any) -> Any:
        """dnslib's hook: one question, A or AAAA."""
        name = str(request.q.qname).rstrip(".")
        reply = request.reply()
        answers = self.script.get(name, [None])
        answer = answers[0]
        if request.q.qtype == QTYPE.AAAA:  # asked for last: this resolution is over
            self.asked.append(name)
            if len(answers) > 1:
                answers.pop(0)
        if answer is None:
            reply.header.rcode = RCODE.NXDOMAIN
        for address in answer or ():
            kind = QTYPE.AAAA if ":" in address else QTYPE.A
            if kind == request.q.qtype:
                reply.add_answer(RR(name, kind, rdata=AAAA(address) if ":" in address else A(address), ttl=0))
        return reply

    async def lookup(self, host: str) -> list[str]:
        """A `dial.Lookup` that asks this server."""
        found: list[str] = []
        for kind in ("A", "AAAA"):
            packet = await asyncio.to_thread(DNSRecord.question(host, kind).send, "127.0.0.1", self._port, timeout=60)
            reply = DNSRecord.parse(packet)
            if reply.header.rcode == RCODE.NXDOMAIN and kind == "AAAA":
                raise LookupFailedError("dns_nxdomain")
            found += [str(record.rdata) for record in reply.rr]
        return found
