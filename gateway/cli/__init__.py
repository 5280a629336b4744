"""The ``scenario`` command line.

Importing it is cheap: commands import Temporal's client, the store and tables when they run.
"""

from gateway.cli.program import main

__all__ = ["main"]
