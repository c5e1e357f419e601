"""Child processes end with their parent, however that ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flow_engine.tether import tethered
from tests.infra.processes import ended

ON_LINUX = sys.platform == "linux"
KINDS = pytest.mark.parametrize("kernel", [True, False] if ON_LINUX else [False])

PARENT = """
import signal, subprocess, sys
from flow_engine.tether import tethered
command = tethered([sys.executable, "-c", {child!r}], death_signal=signal.SIGINT, kernel={kernel})
subprocess.Popen(command).wait()
"""


def kill_the_parent_of(child: str, kernel: bool) -> int:
    """Run `child`, tethered, in a process of its own, kill -9 that, and return the child's process id."""
    script = PARENT.format(child=child, kernel=kernel)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
    return pid


@KINDS
def test_a_tethered_process_ends_when_its_parent_is_killed(kernel: bool) -> None:
    pid = kill_the_parent_of("import os, signal; print(os.getpid(), flush=True); signal.pause()", kernel)
    assert ended(pid)


@KINDS
def test_the_chosen_signal_lets_a_process_end_in_good_order(kernel: bool, tmp_path: Path) -> None:
    note = tmp_path / "note"
    pid = kill_the_parent_of(
        "import os, pathlib, signal\n"
        "try:\n    print(os.getpid(), flush=True); signal.pause()\n"
        f"except KeyboardInterrupt:\n    pathlib.Path({str(note)!r}).write_text('interrupted')",
        kernel,
    )
    assert ended(pid)
    assert note.read_text() == "interrupted"


@KINDS
def test_a_tethered_process_gets_signals_and_gives_its_exit_code(kernel: bool) -> None:
    script = (
        "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); print(flush=True); signal.pause()"
    )
    command = tethered([sys.executable, "-c", script], kernel=kernel)
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        process.terminate()
        assert process.wait(timeout=10) == 7


def test_a_missing_command_is_named() -> None:
    result = subprocess.run(tethered(["/no/such/command"]), capture_output=True, text=True, check=False)
    assert result.returncode != 0
    assert "/no/such/command" in result.stderr


if ON_LINUX:

    def test_the_command_keeps_the_process_id_it_was_started_under() -> None:
        command = tethered([sys.executable, "-c", "import os; print(os.getpid())"])
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert int(process.stdout.read()) == process.pid

    def test_nothing_is_started_for_a_parent_that_is_gone_already(tmp_path: Path) -> None:
        command = tethered(["touch", str(tmp_path / "started")])
        command[command.index(str(os.getpid()))] = "1"
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 1
        assert "is gone" in result.stderr
        assert not (tmp_path / "started").exists()
