"""Responses of receivers that are kept: their schema, and whether one fits it."""
