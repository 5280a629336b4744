"""Runs a command that ends when its parent process ends.

``python leash.py SECONDS COMMAND…`` with a pipe as standard input. When the pipe closes, which happens also if the
parent is killed, the command receives SIGTERM, and SIGKILL after the seconds. Linux's signal at a parent's death is not
portable. It imports the standard library only, to start in milliseconds.
"""

import os
import signal
import subprocess
import sys
import threading


def main(arguments: list[str]) -> int:
    grace, *command = arguments
    # The parent decides, not the terminal: Ctrl-C reaches the whole foreground group, but the server
    # must outlive the worker that drains.
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
    # The status of a signal, as in shells.
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    # Not sys.exit: the thread is still reading.
    os._exit(main(sys.argv[1:]))
