"""Infrastructure of every process: settings, connections, the store, telemetry and local servers."""
