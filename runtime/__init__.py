"""What every process shares: settings, connections, telemetry, the store, the local server."""
