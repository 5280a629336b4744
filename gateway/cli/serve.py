"""The command that serves HTTP: serve."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gateway.serving import Parts

HostOption = Annotated[str, typer.Option("--host", help="the address to listen on; 0.0.0.0 for all")]
PortOption = Annotated[int, typer.Option("--port", help="the port to listen on; 0 takes a free one")]


MetricsHostOption = Annotated[str, typer.Option("--metrics-host", help="the address that metrics listen on")]


def serve(
    host: HostOption = "127.0.0.1",
    port: PortOption = 8080,
    api: Annotated[bool, typer.Option("--api", help="the HTTP API for engines")] = False,
    pages: Annotated[bool, typer.Option("--pages", help="the pages for people")] = False,
    callbacks: Annotated[bool, typer.Option("--callbacks", help="the public part; the default")] = False,
    codec: Annotated[bool, typer.Option("--codec", help="the codec server for Temporal's UI and command line")] = False,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", help="serve metrics for Prometheus on this port, at /metrics")
    ] = None,
    metrics_host: MetricsHostOption = "127.0.0.1",
) -> None:
    """Serve the given HTTP services on one port until stopped. The default is --callbacks.

    --api and --pages need the workers' TEMPORAL_* and SCENARIO_* settings, and a key: 'scenario keys create'.

    --codec decrypts data for Temporal's UI and command line, for users of a key with the scope decode. It needs
    SCENARIO_ENCRYPTION_KEYS and SCENARIO_STORE, and SCENARIO_CODEC_ORIGINS for the UI.

    --callbacks receives callbacks for journeys, unsubscriptions, bounces and STOP. It needs TEMPORAL_*,
    SCENARIO_CALLBACK_URL and SCENARIO_CALLBACK_KEY as the workers have them; for unsubscriptions also
    SCENARIO_SUPPRESSION_KEY and SCENARIO_STORE; for bounces SCENARIO_BOUNCE_ADDRESS and SCENARIO_INBOUND_KEY; for
    answers to SMS SCENARIO_SMS; for events from providers SCENARIO_EVENTS_…; and SCENARIO_DESTINATIONS if suppressions
    are sent to the platform. Put a proxy with TLS in front of it.
    """
    from gateway.serving import Parts

    wanted = Parts(api=api, pages=pages, callbacks=callbacks or not (api or pages or codec), codec=codec)
    _run(host, port, wanted, metrics_port, metrics_host)


def codec(host: HostOption = "127.0.0.1", port: PortOption = 8081) -> None:
    """Decrypt data for Temporal's UI and command line until stopped, as 'scenario serve --codec' does.

    The UI's codec endpoint is http://HOST:PORT/codec. For the command line, use the same with --codec-endpoint, and
    --codec-auth 'Bearer sr_…' with a key that has the scope decode.
    """
    from gateway.serving import Parts

    _run(host, port, Parts(codec=True))


def _run(host: str, port: int, wanted: Parts, metrics_port: int | None = None, metrics_host: str = "") -> None:
    from gateway.serving import serve as run
    from runtime.settings import Settings
    from runtime.telemetry import logs
    from runtime.telemetry.exposition import Exposition
    from runtime.telemetry.telemetry import Telemetry

    settings = Settings()
    logs.configure()
    exposition = None if metrics_port is None else Exposition(metrics_port, metrics_host)
    telemetry = Telemetry.start(exposition=exposition)
    try:
        asyncio.run(run(settings, host, port, wanted, telemetry))
    except asyncio.CancelledError:  # asked to stop before it was ready
        return
    finally:
        telemetry.shutdown()
