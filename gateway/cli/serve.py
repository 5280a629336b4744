"""The command that serves the ways in over HTTP: serve."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

HostOption = Annotated[str, typer.Option("--host", help="the address to listen on; 0.0.0.0 for all")]
PortOption = Annotated[int, typer.Option("--port", help="the port to listen on; 0 takes a free one")]


ApiOption = Annotated[bool, typer.Option("--api", help="the HTTP API for engines")]
PagesOption = Annotated[bool, typer.Option("--pages", help="the pages for people")]
CallbacksOption = Annotated[bool, typer.Option("--callbacks", help="what is open to the world; alone by default")]


def serve(
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
    api: ApiOption = False,
    pages: PagesOption = False,
    callbacks: CallbacksOption = False,
) -> None:
    """Serve the ways in over HTTP, on one port, until asked to stop: those that are named, else callbacks.

    --api and --pages need TEMPORAL_* and SCENARIO_* as the workers have them, and a key: 'scenario keys create'.

    --callbacks receives callbacks of journeys, contacts who unsubscribe, bounces and STOP. It needs TEMPORAL_*,
    SCENARIO_CALLBACK_URL and SCENARIO_CALLBACK_KEY as the workers have them; for unsubscribing,
    SCENARIO_SUPPRESSION_KEY and SCENARIO_STORE too; for bounces SCENARIO_BOUNCE_ADDRESS and SCENARIO_INBOUND_KEY, for
    answers to SMS SCENARIO_SMS; and SCENARIO_DESTINATIONS where the platform is told of them. Put a proxy with TLS in
    front of it.
    """
    from gateway.serving import Parts
    from gateway.serving import serve as run
    from runtime.settings import Settings
    from runtime.telemetry import logs
    from runtime.telemetry.telemetry import Telemetry

    settings = Settings()
    logs.configure()
    telemetry = Telemetry.start()
    try:
        wanted = Parts(api=api, pages=pages, callbacks=callbacks or not (api or pages))
        asyncio.run(run(settings, host, port, wanted))
    except asyncio.CancelledError:  # asked to stop before it was ready
        return
    finally:
        telemetry.shutdown()
