"""Spans of journeys."""

from __future__ import annotations

from temporalio.contrib.opentelemetry import TracingInterceptor


class JourneyTracing(TracingInterceptor):
    """Spans of journeys."""
