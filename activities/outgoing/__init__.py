"""Outgoing events: `outgoing.yaml`, the form of an event, and the sending to subscriptions."""
