"""Runs a command that ends when the process that started it ends, however that happens.

Run as a program: ``python leash.py SECONDS COMMAND…`` with a pipe as standard input. The command is asked to end
(SIGTERM) when the pipe closes, which the kernel does also for a process that was killed, and is killed after the
seconds. A process of its own, and no signal that the kernel sends at a parent's death, since that exists on Linux
only. Nothing but the standard library is imported, so that it starts in milliseconds.
"""

import os
import signal
import subprocess
import sys
import threading


def main(arguments: list[str]) -> int:
    """Runs the command and returns its exit status."""
    grace, *command = arguments
    # Whoever holds the other end decides, not the terminal: Ctrl-C reaches the whole foreground group, and the server
    # has to outlive the worker that drains.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)  # noqa: S603 - our own command

    def end(_number: int, _frame: object) -> None:
        child.terminate()

    signal.signal(signal.SIGTERM, end)

    def watch() -> None:
        while os.read(0, 4096):
            pass
        child.terminate()
        try:
            child.wait(float(grace))
        except subprocess.TimeoutExpired:
            child.kill()

    threading.Thread(target=watch, daemon=True).start()
    status = child.wait()
    # A command that a signal ended is told as shells tell it.
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    # Not sys.exit: the thread is still reading.
    os._exit(main(sys.argv[1:]))
