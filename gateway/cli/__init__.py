"""The command line, ``scenario``.

Importing it is cheap: commands load Temporal's client, the store and tables when they are run.
"""

from gateway.cli.program import main

__all__ = ["main"]
