"""Previews: the exact bytes that a scenario would send to a contact. Nothing is sent.

A preview follows the plan like a journey, with a virtual clock, and renders steps by the activities' own functions. It
needs no server, store or secret.
"""
