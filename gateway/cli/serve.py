"""The command that serves callbacks and unsubscribing: serve."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

HostOption = Annotated[str, typer.Option("--host", help="the address to listen on; 0.0.0.0 for all")]
PortOption = Annotated[int, typer.Option("--port", help="the port to listen on; 0 takes a free one")]


def serve(host: HostOption = "127.0.0.1", port: PortOption = 8080) -> None:
    """Receive callbacks of journeys, contacts who unsubscribe, bounces and STOP, until asked to stop.

    It needs TEMPORAL_*, SCENARIO_CALLBACK_URL and SCENARIO_CALLBACK_KEY as the workers have them; for unsubscribing,
    SCENARIO_SUPPRESSION_KEY and SCENARIO_STORE too; for bounces SCENARIO_BOUNCE_ADDRESS and SCENARIO_INBOUND_KEY, for
    answers to SMS SCENARIO_SMS; and SCENARIO_DESTINATIONS where the platform is told of them. Put a proxy with TLS in
    front of it.
    """
    from gateway.callbacks.server import serve as run
    from runtime.settings import Settings
    from runtime.telemetry import logs
    from runtime.telemetry.telemetry import Telemetry

    settings = Settings()
    logs.configure()
    telemetry = Telemetry.start()
    try:
        asyncio.run(run(settings, host, port))
    except asyncio.CancelledError:  # asked to stop before it was ready
        return
    finally:
        telemetry.shutdown()
