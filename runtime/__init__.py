"""Infrastructure of every process: settings, connections, the store, telemetry and local servers."""


def version() -> str:
    """Return the version as shown by `scenario --version`, traces and the API: that of git's tag.

    `unknown` if the program is not installed, but runs from its source.
    """
    # Slow to import.
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("scenario-runner")
    except PackageNotFoundError:
        return "unknown"
