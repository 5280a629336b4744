"""The ``scenario`` command line. Importing it is cheap: commands import what they need when they run."""

from cli.program import main

__all__ = ["main"]
