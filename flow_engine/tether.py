"""Child processes that do not outlive the process that started them, not even when it gets kill -9.

`tethered(command)` gives the command to start instead. It runs this file as a script, which ties itself
to its parent and then becomes the command. On Linux the kernel keeps the tie and the process id stays the
same; elsewhere the script stays between the two and watches.

On Linux the tie is to the *thread* that started the process: start it from one that lives as long as it
should.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
WATCH_INTERVAL_SECONDS = 0.2
KILL_AFTER_SECONDS = 10.0


def tethered(
    command: Sequence[str | os.PathLike[str]],
    *,
    death_signal: signal.Signals = signal.SIGTERM,
    user: int | None = None,
    kernel: bool = sys.platform == "linux",
) -> list[str]:
    """The command line that runs `command` and sends it `death_signal` when the calling process is gone.

    user: user and group id to become first (needs root); the interpreter need not be readable by that user.
    kernel: let the kernel watch, or else a process in between that stays the parent of `command`.
    """
    how = "kernel" if kernel else "watch"
    tie = [how, str(os.getpid()), str(int(death_signal)), str(-1 if user is None else user)]
    script = str(Path(__file__).resolve())
    return [sys.executable, "-I", "-S", script, *tie, *(os.fspath(part) for part in command)]


def main(arguments: Sequence[str]) -> None:
    how, parent, death_signal, user = arguments[0], *map(int, arguments[1:4])
    command = list(arguments[4:])
    if user >= 0:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    if how == "kernel":
        become(command, parent, death_signal)
    else:
        watch(command, parent, death_signal)


def become(command: list[str], parent: int, death_signal: int) -> None:
    if not die_with_parent(parent, death_signal):
        sys.exit(f"{command[0]}: not started, process {parent} that asked for it is gone")
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


def die_with_parent(parent: int, death_signal: int) -> bool:
    """Linux: this process gets the signal when its parent ends; whether that lives still.

    Call it after any change of user, which would clear it; it survives exec, not fork.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
    return os.getppid() == parent


def watch(command: list[str], parent: int, death_signal: int) -> None:
    child = subprocess.Popen(command, close_fds=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: child.send_signal(received))
    while True:
        try:
            code = child.wait(timeout=WATCH_INTERVAL_SECONDS)
            sys.exit(code if code >= 0 else 128 - code)
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                break
    child.send_signal(death_signal)
    try:
        child.wait(timeout=KILL_AFTER_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    main(sys.argv[1:])
