"""Which version of the program this is."""

from __future__ import annotations


def version() -> str:
    """As `scenario --version`, traces and the API's document say it: of git's tag when it was installed or built.

    `unknown` where the program was not installed, but is run from its source as it lies there.
    """
    # Its import takes as long as some commands.
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("scenario-runner")
    except PackageNotFoundError:
        return "unknown"
