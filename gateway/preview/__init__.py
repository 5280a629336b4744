"""Previews: what a scenario would send to a contact, byte by byte, with nothing sent.

A preview follows the plan as a journey would, with a clock of its own, and renders every step by the functions that the
activities use. It needs no server, no store and no secret.
"""
