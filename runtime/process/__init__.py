"""Lifecycle of a process: workers, health, HTTP servers, shutdown."""
